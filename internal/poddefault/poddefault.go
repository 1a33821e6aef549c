// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package poddefault finds the PodDefaults of a pod and merges them into it. It is pure: every controller that makes pods applies it
// when it plans one, and mill plan shows what comes of it. For pods of others the admission policy of
// config/components/poddefault-admission does the same in CEL.
package poddefault

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// Matches is true of a pod with these labels. A selector that cannot be read matches nothing.
func Matches(d *v1alpha1.PodDefault, of map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(&d.Spec.Selector)
	return err == nil && selector.Matches(labels.Set(of))
}

// Matching are the PodDefaults for a pod with these labels in the order in which they are applied.
func Matching(all []v1alpha1.PodDefault, of map[string]string) []*v1alpha1.PodDefault {
	var found []*v1alpha1.PodDefault
	for i := range all {
		if all[i].DeletionTimestamp == nil && Matches(&all[i], of) {
			found = append(found, &all[i])
		}
	}
	slices.SortFunc(found, func(a, b *v1alpha1.PodDefault) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), cmp.Compare(a.Name, b.Name))
	})
	return found
}

func priority(d *v1alpha1.PodDefault) int32 {
	if d.Spec.Priority == nil {
		return 0
	}
	return *d.Spec.Priority
}

// Conflict is where a pod contradicts a PodDefault.
type Conflict struct {
	podspec.Conflict

	// Of is the PodDefault's name.
	Of string
}

// Pod is a pod that is about to be made.
type Pod struct {
	*corev1.Pod

	// Main is the index of its main container.
	Main int
	// Reserved are variables that no PodDefault may set: what the pod is for depends on them.
	Reserved []string
}

// policies are the policies of merging by those of the API.
var policies = map[v1alpha1.PodDefaultConflictPolicy]podspec.Policy{
	v1alpha1.ConflictFail: podspec.Refuse, v1alpha1.ConflictKeepExisting: podspec.Yield, v1alpha1.ConflictOverride: podspec.Override,
}

// Apply merges PodDefaults into a pod, in their order, and notes in an annotation which. On a conflict it returns the first, and the
// pod must not be made.
func Apply(p Pod, in []*v1alpha1.PodDefault) (Conflict, bool) {
	var applied []string
	for _, d := range in {
		if c, found := apply(p, d); found {
			return Conflict{c, d.Name}, true
		}
		applied = append(applied, d.Name)
	}
	if len(applied) > 0 {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, names.PodDefaults, strings.Join(applied, ","))
	}
	return Conflict{}, false
}

func apply(p Pod, d *v1alpha1.PodDefault) (podspec.Conflict, bool) {
	s, policy := d.Spec.DeepCopy(), policies[d.Spec.ConflictPolicy]
	for i, v := range s.Env {
		if slices.Contains(p.Reserved, v.Name) {
			return podspec.Conflict{Field: fmt.Sprintf("env[%d]", i), Have: "set by Millrace", Want: v.Name}, true
		}
	}
	a := podspec.Additions{
		Policy: policy, Main: p.Main, Env: s.Env, EnvFrom: s.EnvFrom, Volumes: s.Volumes, Mounts: s.VolumeMounts, Tolerations: s.Tolerations,
		NodeSelector: s.NodeSelector, ServiceAccountName: s.ServiceAccountName, PullSecrets: s.ImagePullSecrets,
		InitContainers: s.InitContainers, Sidecars: s.Sidecars,
	}
	if r := s.Resources; r != nil {
		a.Requests, a.Limits = r.Requests, r.Limits
	}
	conflicts := slices.Concat(
		podspec.AddMap("metadata.labels", &p.Labels, s.Labels, policy),
		podspec.AddMap("metadata.annotations", &p.Annotations, s.Annotations, policy),
		podspec.Add(&p.Spec, a),
	)
	if len(conflicts) == 0 {
		return podspec.Conflict{}, false
	}
	return conflicts[0], true
}

// Say tells people of a conflict at a path of their template.
func (c Conflict) Say(template string) string {
	field := "spec." + c.Field
	if strings.HasPrefix(c.Field, "metadata.") {
		field = c.Field
	}
	if strings.HasPrefix(c.Field, "env[") {
		return fmt.Sprintf("PodDefault %s: spec.%s: variable %s is set by Millrace itself: remove it from the PodDefault.", c.Of, c.Field, c.Want)
	}
	return fmt.Sprintf(
		"%s.%s is %s, and PodDefault %s sets it to %s: change one of them, or set spec.conflictPolicy of the PodDefault to KeepExisting or Override.",
		template, field, c.Have, c.Of, c.Want,
	)
}
