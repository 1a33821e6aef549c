// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestRequire(t *testing.T) {
	for name, tc := range map[string]struct {
		pod  string
		pods int32
		want map[string]any
	}{
		"containers are added up, for each pod": {
			"containers: [{resources: {requests: {cpu: 500m, memory: 1Gi}}}, {resources: {requests: {cpu: 1}}}]", 3,
			map[string]any{"cpu": "4500m", "memory": "3Gi"},
		},
		"a limit alone is a request": {
			"containers: [{resources: {limits: {nvidia.com/gpu: 8, cpu: 4}, requests: {cpu: 2}}}]", 2,
			map[string]any{"cpu": "4", "nvidia.com/gpu": "16"},
		},
		"init containers run one by one, sidecars beside the rest": {
			"initContainers: [{resources: {requests: {cpu: 3}}}, {restartPolicy: Always, resources: {requests: {cpu: 1}}}]\ncontainers: [{resources: {requests: {cpu: 1}}}]", 1,
			map[string]any{"cpu": "3"},
		},
		"nothing asked": {"containers: [{}]", 2, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			var p corev1.PodSpec
			if err := yaml.Unmarshal([]byte(tc.pod), &p); err != nil {
				t.Fatal(err)
			}
			var g Gang
			g.Require(&p, tc.pods)
			if diff := cmp.Diff(tc.want, quantities(g.Requests)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
