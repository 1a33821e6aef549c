// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Queries are those of Prometheus whose series tell of use when their value is above zero: GPUs that work, as NVIDIA's exporter sees
// them, and requests and open connections as Istio's proxies see them. A series names its notebook by the labels of the table below.
var Queries = []string{
	`max by (namespace, pod) (max_over_time(DCGM_FI_DEV_GPU_UTIL{pod!=""}[2m]))`,
	`max by (exported_namespace, exported_pod) (max_over_time(DCGM_FI_DEV_GPU_UTIL{exported_pod!=""}[2m]))`,
	`sum by (destination_service_namespace, destination_service_name) (increase(istio_requests_total{reporter="destination",source_app!="millrace"}[2m]))`,
	`sum by (destination_service_namespace, destination_service_name) (istio_tcp_connections_opened_total{reporter="destination"} - istio_tcp_connections_closed_total{reporter="destination"})`,
}

// names are the labels by which a series names a notebook, in pairs of namespace and name.
var names = [][2]string{
	{"namespace", "pod"}, {"exported_namespace", "exported_pod"}, {"destination_service_namespace", "destination_service_name"},
}

// Metrics are a Prometheus that knows of use.
type Metrics struct {
	*Client
	// Base is its address, such as http://prometheus.monitoring:9090/.
	Base string
	// Queries are those that are asked.
	Queries []string
}

// Used are the notebooks that metrics show in use now.
func (m *Metrics) Used(ctx context.Context) (map[types.NamespacedName]bool, error) {
	used := map[types.NamespacedName]bool{}
	for _, query := range m.Queries {
		ctx, cancel := context.WithTimeout(ctx, m.Timeout)
		text, err := m.get(ctx, m.Base, "api/v1/query?query="+url.QueryEscape(query))
		cancel()
		if err != nil {
			return nil, fmt.Errorf("asking Prometheus: %w", err)
		}
		if err := read(text, used); err != nil {
			return nil, fmt.Errorf("asking Prometheus: %w", err)
		}
	}
	return used, nil
}

// read adds what an instant query found.
func read(text []byte, used map[types.NamespacedName]bool) error {
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  []any             `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Status != "success" {
		return errors.New("the answer is not that of an instant query")
	}
	for _, series := range answer.Data.Result {
		if len(series.Value) != 2 || !positive(series.Value[1]) {
			continue
		}
		for _, pair := range names {
			if name := series.Metric[pair[1]]; name != "" {
				used[types.NamespacedName{Namespace: series.Metric[pair[0]], Name: strings.TrimSuffix(name, "-0")}] = true
			}
		}
	}
	return nil
}

func positive(value any) bool {
	text, _ := value.(string)
	number, err := strconv.ParseFloat(text, 64)
	return err == nil && number > 0
}
