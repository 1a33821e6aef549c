// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"encoding/json"
	"strconv"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// task is the pod in TF_CONFIG and MX_CONFIG. The order of fields is part of the contract.
type task struct {
	Type  string `json:"type"`
	Index int    `json:"index"`
}

// tfCluster is TF_CONFIG: Dense lists every task of the job.
type tfCluster struct {
	Cluster     map[string][]string `json:"cluster"`
	Task        task                `json:"task"`
	Environment string              `json:"environment"`
}

// tfSparse is TF_CONFIG of jobs whose workers come and go: a worker knows itself and the parameter servers, a parameter
// server itself.
type tfSparse struct {
	Cluster tfSparseCluster `json:"cluster"`
	Task    task            `json:"task"`
}

type tfSparseCluster struct {
	Worker map[string]string `json:"worker"`
	PS     []string          `json:"ps"`
}

// tfConfig is the value of TF_CONFIG, as TFConfigClusterResolver reads it.
func tfConfig(m Member) *string {
	me := task{Type: role(m), Index: m.Index}
	if isSparse(m.Job) {
		return new(compact(tfSparse{sparseCluster(m), me}))
	}
	cluster := map[string][]string{}
	for i := range m.Roles {
		cluster[names.Lower(m.Roles[i].Name)] = m.endpoints(&m.Roles[i])
	}
	return new(compact(tfCluster{cluster, me, "cloud"}))
}

func sparseCluster(m Member) tfSparseCluster {
	seen := tfSparseCluster{Worker: map[string]string{}, PS: []string{}}
	switch m.Role.Name {
	case "Worker":
		seen.Worker[strconv.Itoa(m.Index)] = m.endpoint(m.Role, m.Index)
		if servers := m.Find("PS"); servers != nil {
			seen.PS = m.endpoints(servers)
		}
	case "PS":
		seen.PS = append(seen.PS, m.endpoint(m.Role, m.Index))
	}
	return seen
}

func isSparse(j *v1alpha1.TrainingJob) bool {
	return j.Spec.TensorFlow != nil && j.Spec.TensorFlow.ClusterSpec == "Sparse"
}

// sparseWorker: workers that come and go may also fail.
func sparseWorker(j *v1alpha1.TrainingJob, role string) bool { return isSparse(j) && role == "Worker" }

// compact is a value as JSON without white space.
func compact(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	return string(out)
}
