// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
)

const anyJob = `{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"containers":[{"name":"main","image":"first"}]}}}}`

// TestJobsCannotChange: trials of different jobs cannot be compared, and a trial whose job changed was never run as it says.
func TestJobsCannotChange(t *testing.T) {
	server := envtest.Start(t)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	admin, meta := server.Client(t, scheme), metav1.ObjectMeta{Namespace: server.Namespace(t), Name: "fixed"}
	objectives := []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}
	template := v1alpha1.TrialTemplate{Job: &runtime.RawExtension{Raw: []byte(anyJob)}}
	trial := &v1alpha1.Trial{ObjectMeta: meta, Spec: v1alpha1.TrialSpec{Objectives: objectives, Template: template}}
	experiment := &v1alpha1.Experiment{ObjectMeta: meta, Spec: v1alpha1.ExperimentSpec{
		Objectives: objectives, Algorithm: v1alpha1.Algorithm{Name: "Random"}, TrialTemplate: template,
		Parameters: []v1alpha1.Parameter{{Name: "width", Type: v1alpha1.ParameterInt, Min: "1", Max: "8"}},
	}}
	for _, o := range []client.Object{trial, experiment} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		object client.Object
		change string
		// refused is what the answer says; empty where the change is taken.
		refused string
	}{
		{experiment, `{"spec":{"trialTemplate":{"job":{"spec":{"template":{"spec":{"containers":[]}}}}}}}`, "spec.trialTemplate cannot change"},
		{experiment, `{"spec":{"trialTemplate":{"job":{"extra":1}}}}`, "spec.trialTemplate cannot change"},
		{experiment, `{"spec":{"trialTemplate":{"retain":"Never"}}}`, "spec.trialTemplate cannot change"},
		{experiment, `{"spec":{"metricsCollector":{"kind":"Push"}}}`, "spec.metricsCollector cannot change"},
		{experiment, `{"spec":{"parallelTrials":9}}`, ""},
		{trial, `{"spec":{"template":{"job":{"kind":"CronJob"}}}}`, "spec.template cannot change"},
		{trial, `{"spec":{"metricsCollector":{"kind":"Push"}}}`, "spec.metricsCollector cannot change"},
		{trial, `{"spec":{"stop":{"reason":"Killed"}}}`, ""},
	} {
		changed := c.object.DeepCopyObject().(client.Object)
		err := admin.Patch(t.Context(), changed, client.RawPatch("application/merge-patch+json", []byte(c.change)))
		if c.refused == "" && err != nil {
			t.Errorf("%s is refused: %v", c.change, err)
		}
		if c.refused != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: got %v, want it refused because %s", c.change, err, c.refused)
		}
	}
}
