// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// facet is a part of a pod that can differ, under the name that status.pendingChanges has for it. It takes its part out of the
// template, so that what is left for the last is what no other facet has.
type facet struct {
	field string
	take  func(t *corev1.PodTemplateSpec, server *corev1.Container) any
}

// facets are in the order in which they take their parts.
var facets = []facet{
	{"image", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any { return taken(&c.Image) }},
	{"cpu", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any { return amount(c, corev1.ResourceCPU) }},
	{"memory", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any { return amount(c, corev1.ResourceMemory) }},
	{"devices", func(t *corev1.PodTemplateSpec, c *corev1.Container) any {
		return []any{left(&c.Resources.Requests), left(&c.Resources.Limits), taken(&c.Resources.Claims), taken(&t.Spec.ResourceClaims)}
	}},
	{"env", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any {
		return []any{taken(&c.Env), taken(&c.EnvFrom)}
	}},
	{"command", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any {
		return []any{taken(&c.Command), taken(&c.Args), taken(&c.WorkingDir)}
	}},
	{"ports", func(_ *corev1.PodTemplateSpec, c *corev1.Container) any { return taken(&c.Ports) }},
	{"volumes", func(t *corev1.PodTemplateSpec, c *corev1.Container) any {
		return []any{taken(&t.Spec.Volumes), taken(&c.VolumeMounts), taken(&c.VolumeDevices)}
	}},
	{"placement", func(t *corev1.PodTemplateSpec, _ *corev1.Container) any {
		s := &t.Spec
		return []any{
			taken(&s.NodeSelector), taken(&s.Affinity), taken(&s.Tolerations), taken(&s.TopologySpreadConstraints),
			taken(&s.PriorityClassName), taken(&s.SchedulerName), taken(&s.RuntimeClassName),
		}
	}},
	{"serviceAccount", func(t *corev1.PodTemplateSpec, _ *corev1.Container) any { return taken(&t.Spec.ServiceAccountName) }},
	{"security", func(t *corev1.PodTemplateSpec, c *corev1.Container) any {
		return []any{taken(&t.Spec.SecurityContext), taken(&c.SecurityContext)}
	}},
	{"labels", func(t *corev1.PodTemplateSpec, _ *corev1.Container) any { return taken(&t.Labels) }},
	{"annotations", func(t *corev1.PodTemplateSpec, _ *corev1.Container) any { return taken(&t.Annotations) }},
	{"containers", func(t *corev1.PodTemplateSpec, _ *corev1.Container) any {
		return []any{slices.Clone(t.Spec.Containers[1:]), taken(&t.Spec.InitContainers)}
	}},
	{"pod", func(t *corev1.PodTemplateSpec, c *corev1.Container) any { return []any{*c, blank(t.Spec)} }},
}

// taken is a value that is taken out of where it was.
func taken[T any](from *T) T {
	var none T
	value := *from
	*from = none
	return value
}

// left is what others have left of a list; nothing is the same as none.
func left(of *corev1.ResourceList) corev1.ResourceList {
	list := taken(of)
	if len(list) == 0 {
		return nil
	}
	return list
}

func blank(spec corev1.PodSpec) corev1.PodSpec {
	spec.Containers = nil
	return spec
}

// amount is what a container asks for and what it may use of a resource, in a word.
func amount(c *corev1.Container, name corev1.ResourceName) any {
	var all []string
	for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
		if q, found := list[name]; found {
			all = append(all, q.String())
		} else {
			all = append(all, "-")
		}
		delete(list, name)
	}
	return strings.Join(slices.Compact(all), " to ")
}

// facetsOf are the facets of a template: values that are short as they are, others in a digest.
func facetsOf(t *corev1.PodTemplateSpec) map[string]string {
	t = t.DeepCopy()
	found := map[string]string{}
	for _, f := range facets {
		value := f.take(t, &t.Spec.Containers[0])
		if text, plain := value.(string); plain && len(text) <= 512 {
			found[f.field] = text
			continue
		}
		found[f.field] = digest(value)
	}
	return found
}

// opaque begins a digest.
const opaque = "#"

func digest(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	sum := sha256.Sum256(text)
	return opaque + hex.EncodeToString(sum[:6])
}

func encode(found map[string]string) string {
	text, err := json.Marshal(found)
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	return string(text)
}

// differences are what differs between the pod that there is and the one that is wanted, by what each was made from. What was changed in
// place since does not differ.
func (s *state) differences() []v1alpha1.PendingChange {
	var old map[string]string
	if json.Unmarshal([]byte(s.world.Pod.Annotations[names.MadeFrom]), &old) != nil {
		return []v1alpha1.PendingChange{{Field: "template"}}
	}
	var wanted map[string]string
	if err := json.Unmarshal([]byte(s.template.Annotations[names.MadeFrom]), &wanted); err != nil {
		panic(err) // it is our own
	}
	maps.Copy(old, s.resized(wanted))
	var all []v1alpha1.PendingChange
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		if old[field] != wanted[field] {
			all = append(all, v1alpha1.PendingChange{Field: field, From: shown(old[field]), To: shown(wanted[field])})
		}
	}
	return all
}

func shown(value string) string {
	if strings.HasPrefix(value, opaque) {
		return ""
	}
	return value
}

// scalable are the resources that can be changed in place.
var scalable = map[string]corev1.ResourceName{"cpu": corev1.ResourceCPU, "memory": corev1.ResourceMemory}

// resized are the facets of what a pod has by now as it is wanted, and the kubelet has granted.
func (s *state) resized(wanted map[string]string) map[string]string {
	same := map[string]string{}
	if hasCondition(s.world.Pod, corev1.PodResizePending) {
		return same
	}
	for field, name := range scalable {
		if equalAmounts(s.server(s.world.Pod).Resources, s.template.Spec.Containers[0].Resources, name) {
			same[field] = wanted[field]
		}
	}
	return same
}

// equalAmounts is true when a container has of a resource what is wanted; what is not wanted may be a default of its namespace.
func equalAmounts(have, want corev1.ResourceRequirements, name corev1.ResourceName) bool {
	equal := func(have, want corev1.ResourceList) (same, asked bool) {
		q, asked := want[name]
		old, there := have[name]
		return !asked || there && old.Cmp(q) == 0, asked
	}
	requests, one := equal(have.Requests, want.Requests)
	limits, other := equal(have.Limits, want.Limits)
	return requests && limits && (one || other)
}
