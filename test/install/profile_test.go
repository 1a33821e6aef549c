// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/internal/engine"
)

// TestStatesOfWorkspaces asks kstatus and Argo CD what they make of Profiles and PodDefaults. Their statuses come from the
// controllers themselves.
func TestStatesOfWorkspaces(t *testing.T) {
	ours := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "digits", Annotations: map[string]string{"millrace.dev/kept-for": ""}}}
	of := func(worlds ...profile.World) engine.Owner {
		p := admitted(t, profile.Name, "{owner: {name: ann}}", &v1alpha1.Profile{})
		for _, w := range worlds {
			profile.Report(p, w, now)
			p.Status.ObservedGeneration = p.Generation
		}
		return p
	}
	judged := func(spec string) engine.Owner {
		d := admitted(t, poddefault.Name, spec, &v1alpha1.PodDefault{})
		poddefault.Report(d, poddefault.World{}, now)
		d.Status.ObservedGeneration = d.Generation
		return d
	}
	for name, r := range map[string]reading{
		"a new Profile":           {of(), "InProgress", "Progressing"},
		"without a namespace":     {of(profile.World{}), "InProgress", "Progressing"},
		"half made":               {of(profile.World{Namespace: ours}), "InProgress", "Progressing"},
		"in somebody's namespace": {of(profile.World{Namespace: &corev1.Namespace{}}), "Failed", "Degraded"},
		"a new PodDefault":        {admitted(t, poddefault.Name, "{selector: {}}", &v1alpha1.PodDefault{}), "InProgress", "Progressing"},
		"a PodDefault":            {judged("{selector: {}}"), "Current", "Healthy"},
		"without a good selector": {judged("{selector: {matchExpressions: [{key: a, operator: Like}]}}"), "Failed", "Degraded"},
	} {
		kind := profile.Name
		if _, other := r.object.(*v1alpha1.PodDefault); other {
			kind = poddefault.Name
		}
		t.Run(name, func(t *testing.T) { r.check(t, kind) })
	}
}
