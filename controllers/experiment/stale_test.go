// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/proposer"
)

// TestTrialsThatTheCacheLacksAreNoDeletedOnes: they would be counted again when the cache has them.
func TestTrialsThatTheCacheLacksAreNoDeletedOnes(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.Budget = []v1alpha1.ResourceHours{{Resource: v1alpha1.ResourceTrials, Hours: "2"}}
	l := newLife(t, e)
	l.pass(all)
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "1")
	l.pass(all)
	trial := l.find("digits-1")
	trial.Namespace = e.Namespace
	trial.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(e, v1alpha1.GroupVersion.WithKind(Name))}
	foreign := trial.DeepCopy()
	foreign.Name, foreign.OwnerReferences[0].UID = "foreign", "another"
	has := func(objects ...client.Object) client.Reader {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		if err := corev1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		owner := func(o client.Object) []string {
			if controller := metav1.GetControllerOf(o); controller != nil {
				return []string{string(controller.UID)}
			}
			return nil
		}
		return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithIndex(&v1alpha1.Trial{}, index.OwnerUID, owner).WithIndex(&corev1.ConfigMap{}, index.OwnerUID, owner).Build()
	}
	for name, c := range map[string]struct {
		cache, live client.Reader
		trials      int
	}{
		"the cache is older": {has(), has(trial, foreign), 1},
		"it was deleted":     {has(), has(foreign), 0},
		"nothing is missing": {has(trial), nil, 1},
	} {
		o := observer{Outside{Proposer: proposer.AtOnce{}, Live: c.live}, newPages()}
		w, err := o.observe(t.Context(), c.cache, e.DeepCopy())
		if err != nil || len(w.Trials) != c.trials {
			t.Errorf("%s: %d trials (%v)", name, len(w.Trials), err)
		}
		after := e.DeepCopy()
		Report(after, w, l.now)
		if gone := after.Status.Counted[0].Deleted; (gone == "0") != (c.trials == 1) {
			t.Errorf("%s: %+v", name, after.Status.Counted)
		}
	}
}
