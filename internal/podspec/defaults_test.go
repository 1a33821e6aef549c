// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func additions(p Policy) Additions {
	return Additions{
		Policy: p, Main: 1,
		Env:     []corev1.EnvVar{{Name: "LEVEL", Value: "debug"}},
		EnvFrom: []corev1.EnvFromSource{{Prefix: "S3_"}},
		Volumes: []corev1.Volume{{Name: "cache"}}, Mounts: []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}},
		Tolerations: []corev1.Toleration{{Key: "spot"}}, NodeSelector: map[string]string{"disk": "ssd"},
		Requests:           corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
		ServiceAccountName: "default-editor", PullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
		InitContainers: []corev1.Container{{Name: "fetch"}}, Sidecars: []corev1.Container{{Name: "proxy"}},
	}
}

// contrary has every field with another value than the additions.
func contrary(s *corev1.PodSpec) {
	for i := range s.Containers {
		s.Containers[i].Env = []corev1.EnvVar{{Name: "LEVEL", Value: "info"}}
		s.Containers[i].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: "/cache"}}
	}
	s.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	s.NodeSelector, s.ServiceAccountName = map[string]string{"disk": "hdd"}, "own"
	s.Containers[1].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	s.InitContainers = []corev1.Container{{Name: "fetch", Image: "own"}, {Name: "proxy", Image: "own"}}
}

func TestPoliciesDecideWhoWins(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		edit   func(*corev1.PodSpec)
		want   []string
		// level is what LEVEL is in the end, first the container that comes first of all.
		level, account, first string
	}{
		"nothing is there":          {Refuse, nil, nil, "debug", "default-editor", "proxy"},
		"a conflict":                {Refuse, contrary, conflicts, "info", "own", "fetch"},
		"the spec's own wins":       {Yield, contrary, nil, "info", "own", "fetch"},
		"what is added wins":        {Override, contrary, nil, "debug", "default-editor", "fetch"},
		"the same again is content": {Refuse, func(s *corev1.PodSpec) { Add(s, additions(Refuse)) }, nil, "debug", "default-editor", "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(c.edit)
			var got []string
			for _, conflict := range Add(s, additions(c.policy)) {
				got = append(got, conflict.Field)
			}
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			if e := s.Containers[0].Env; len(e) != 1 || e[0].Value != c.level || s.ServiceAccountName != c.account || s.InitContainers[0].Name != c.first {
				t.Errorf("the spec became %+v", s)
			}
			once := s.DeepCopy()
			if Add(s, additions(c.policy)); !gocmp.Equal(once, s) {
				t.Errorf("a second time changes it:\n%s", gocmp.Diff(once, s))
			}
		})
	}
}

var conflicts = []string{
	"containers[0].env[LEVEL]", "containers[0].volumeMounts[/cache]", "containers[1].env[LEVEL]", "containers[1].volumeMounts[/cache]",
	"volumes[cache]", "initContainers[proxy]", "initContainers[fetch]", "nodeSelector[disk]", "serviceAccountName", "containers[1].resources.requests[cpu]",
}
