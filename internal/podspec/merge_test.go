// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

func spec(edit func(*corev1.PodSpec)) *corev1.PodSpec {
	s := &corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "main"}}}
	if edit != nil {
		edit(s)
	}
	return s
}

func quantities(n int64) corev1.ResourceList {
	return corev1.ResourceList{gpu: *resource.NewQuantity(n, resource.DecimalSI)}
}

func term(key, value string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}}
}

func affinity(terms ...corev1.NodeSelectorTerm) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
	}}
}

func TestWhatContradictsAnOverlayIsNamedAndStays(t *testing.T) {
	overlay := Overlay{
		NodeSelector: map[string]string{"gpu": "a100", "zone": "a"}, RuntimeClassName: "nvidia", Container: 1,
		Devices: map[corev1.ResourceName]int64{gpu: 8}, Claims: []corev1.PodResourceClaim{{Name: "devices", ResourceClaimTemplateName: new("ours")}},
		Env: []corev1.EnvVar{{Name: "DEBUG", Value: "no"}},
	}
	for name, c := range map[string]struct {
		edit   func(*corev1.PodSpec)
		policy Policy
		want   []Conflict
	}{
		"nothing": {nil, Refuse, nil},
		"the same": {func(s *corev1.PodSpec) {
			s.NodeSelector, s.RuntimeClassName = map[string]string{"gpu": "a100", "disk": "ssd"}, new("nvidia")
			s.Containers[1].Resources.Limits = quantities(8)
			s.Containers[1].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "no"}}
		}, Refuse, nil},
		"a label": {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"zone": "b"} }, Refuse, []Conflict{{"nodeSelector[zone]", "b", "a"}}},
		"a runtime": {
			func(s *corev1.PodSpec) { s.RuntimeClassName = new("kata") }, Refuse, []Conflict{{"runtimeClassName", "kata", "nvidia"}},
		},
		"a limit": {
			func(s *corev1.PodSpec) { s.Containers[1].Resources.Limits = quantities(4) }, Refuse,
			[]Conflict{{"containers[1].resources.limits[nvidia.com/gpu]", "4", "8"}},
		},
		"a request": {
			func(s *corev1.PodSpec) { s.Containers[1].Resources.Requests = quantities(4) }, Refuse,
			[]Conflict{{"containers[1].resources.requests[nvidia.com/gpu]", "4", "8"}},
		},
		"another container's limit": {func(s *corev1.PodSpec) { s.Containers[0].Resources.Limits = quantities(1) }, Refuse, nil},
		"a claim": {func(s *corev1.PodSpec) {
			s.ResourceClaims = []corev1.PodResourceClaim{{Name: "devices", ResourceClaimTemplateName: new("users")}}
		}, Refuse, []Conflict{{"resourceClaims[0].resourceClaimTemplateName", "users", "ours"}}},
		"a variable":          {func(s *corev1.PodSpec) { s.Containers[1].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "yes"}} }, Refuse, []Conflict{{"containers[1].env[0]", "yes", "no"}}},
		"a variable that may": {func(s *corev1.PodSpec) { s.Containers[1].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "yes"}} }, Yield, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := overlay
			o.EnvPolicy = c.policy
			s := spec(c.edit)
			if diff := gocmp.Diff(c.want, Merge(s, o)); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			once := s.DeepCopy()
			if Merge(s, o); !gocmp.Equal(once, s) {
				t.Errorf("a second merge changes the spec:\n%s", gocmp.Diff(once, s))
			}
			for i, own := range spec(c.edit).Containers {
				for _, e := range own.Env {
					if got := s.Containers[i].Env[len(s.Containers[i].Env)-1]; got != e {
						t.Errorf("the user's %v became %v", e, got)
					}
				}
			}
		})
	}
}

func TestNodeAffinityAsksForBoth(t *testing.T) {
	both := func(a, b corev1.NodeSelectorTerm) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: append(a.MatchExpressions[:1:1], b.MatchExpressions...)}
	}
	for name, c := range map[string]struct {
		own, add, want []corev1.NodeSelectorTerm
	}{
		"none of its own":          {nil, []corev1.NodeSelectorTerm{term("a", "1")}, []corev1.NodeSelectorTerm{term("a", "1")}},
		"nothing added":            {[]corev1.NodeSelectorTerm{term("a", "1")}, nil, []corev1.NodeSelectorTerm{term("a", "1")}},
		"the same":                 {[]corev1.NodeSelectorTerm{term("a", "1")}, []corev1.NodeSelectorTerm{term("a", "1")}, []corev1.NodeSelectorTerm{term("a", "1")}},
		"one that matches no node": {[]corev1.NodeSelectorTerm{{}}, []corev1.NodeSelectorTerm{term("a", "1")}, []corev1.NodeSelectorTerm{{}}},
		"two of each make up four": {
			[]corev1.NodeSelectorTerm{term("a", "1"), term("a", "2")},
			[]corev1.NodeSelectorTerm{term("b", "1"), term("b", "2")},
			[]corev1.NodeSelectorTerm{
				both(term("a", "1"), term("b", "1")), both(term("a", "1"), term("b", "2")),
				both(term("a", "2"), term("b", "1")), both(term("a", "2"), term("b", "2")),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(func(s *corev1.PodSpec) {
				if c.own != nil {
					s.Affinity = affinity(c.own...)
				}
			})
			Merge(s, Overlay{NodeAffinity: c.add})
			if diff := gocmp.Diff(affinity(c.want...), s.Affinity); diff != "" {
				t.Errorf("affinity (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTolerationsAreNotRepeated(t *testing.T) {
	has := corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists}
	more := corev1.Toleration{Key: "spot", Operator: corev1.TolerationOpExists}
	s := spec(func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{has} })
	Merge(s, Overlay{Tolerations: []corev1.Toleration{more, has, more}})
	if diff := gocmp.Diff([]corev1.Toleration{has, more}, s.Tolerations); diff != "" {
		t.Errorf("tolerations (-want +got):\n%s", diff)
	}
}
