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

// Queries are those of Prometheus whose series tell of use: above zero a notebook is in use, at zero it is not, and of one that no series
// names nothing is known. GPUs that work, as NVIDIA's exporter sees them, and requests, as Istio's proxies do, are signs of use alone: who has
// a page open may ask for nothing. Open connections, and of HTTP those of websockets, tell that it is not in use either. A series names its
// notebook by the labels of the table below.
var Queries = []string{
	`max by (namespace, pod) (max_over_time(DCGM_FI_DEV_GPU_UTIL{pod!=""}[2m])) > 0`,
	`max by (exported_namespace, exported_pod) (max_over_time(DCGM_FI_DEV_GPU_UTIL{exported_pod!=""}[2m])) > 0`,
	`sum by (destination_service_namespace, destination_service_name) (increase(istio_requests_total{reporter="destination",source_app!="millrace"}[2m])) > 0`,
	`sum by (destination_service_namespace, destination_service_name) (istio_tcp_connections_opened_total{reporter="destination"} - istio_tcp_connections_closed_total{reporter="destination"})`,
	`sum by (namespace, pod) (envoy_http_downstream_cx_upgrades_active{http_conn_manager_prefix=~"inbound.*"})`,
}

// names are the labels by which a series names a notebook: its namespace, and its name before a suffix.
var names = []struct{ namespace, name, suffix string }{
	{"namespace", "pod", "-0"}, {"exported_namespace", "exported_pod", "-0"}, {"destination_service_namespace", "destination_service_name", ""},
}

// Metrics are a Prometheus that knows of use.
type Metrics struct {
	*Client
	// Base is its address, such as http://prometheus.monitoring:9090/.
	Base string
	// Queries are those that are asked.
	Queries []string
}

// mostSeries is how much of the answer to a query is read.
const mostSeries = 16 << 20

// Used are the notebooks that metrics name, and whether they show them in use now.
func (m *Metrics) Used(ctx context.Context) (map[types.NamespacedName]bool, error) {
	used := map[types.NamespacedName]bool{}
	for _, query := range m.Queries {
		ctx, cancel := context.WithTimeout(ctx, m.Timeout)
		text, _, err := m.get(ctx, m.Base, "api/v1/query?query="+url.QueryEscape(query), mostSeries)
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
		if len(series.Value) != 2 {
			continue
		}
		for _, by := range names {
			if name := series.Metric[by.name]; name != "" {
				key := types.NamespacedName{Namespace: series.Metric[by.namespace], Name: strings.TrimSuffix(name, by.suffix)}
				used[key] = used[key] || positive(series.Value[1])
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
