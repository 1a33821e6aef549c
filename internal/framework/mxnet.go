// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import "github.com/millrace-ml/millrace/internal/names"

// tunerKey is the annotation of a template that MX_CONFIG hands to TVM's tuner as the label of the role.
const tunerKey = "tuner-server-key"

// mxSpec is MX_CONFIG.
type mxSpec struct {
	Cluster map[string][]mxAddress `json:"cluster"`
	Labels  map[string]string      `json:"labels"`
	Task    task                   `json:"task"`
}

type mxAddress struct {
	URL  string `json:"url"`
	Port int32  `json:"port"`
}

// mxConfig is the value of MX_CONFIG.
func mxConfig(m Member) string {
	spec := mxSpec{map[string][]mxAddress{}, map[string]string{}, task{role(m), m.Index}}
	for i := range m.Roles {
		r := &m.Roles[i]
		key := names.Lower(r.Name)
		for _, host := range m.hosts(r) {
			spec.Cluster[key] = append(spec.Cluster[key], mxAddress{host, r.Port})
		}
		spec.Labels[key] = r.Template.Annotations[tunerKey]
	}
	return compact(spec)
}
