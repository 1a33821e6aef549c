// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/test/golden"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// statusCase is a case: the first PodDefault is judged in a world with the others.
type statusCase struct {
	PodDefaults []v1alpha1.PodDefault  `json:"podDefaults"`
	Jobs        []v1alpha1.TrainingJob `json:"jobs"`
	Notebooks   []v1alpha1.Notebook    `json:"notebooks"`
	// Pods are the labels of pods that ask for PodDefaults.
	Pods      []map[string]string `json:"pods"`
	Served    bool                `json:"served"`
	Installed bool                `json:"installed"`
}

func (c *statusCase) world() World {
	w := World{Others: c.PodDefaults, Jobs: c.Jobs, Notebooks: c.Notebooks, Served: c.Served, Installed: c.Installed}
	for _, labels := range c.Pods {
		w.Pods = append(w.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}})
	}
	return w
}

func TestReports(t *testing.T) {
	golden.Cases(t, func(t *testing.T, c *statusCase) any {
		d, w := &c.PodDefaults[0], c.world()
		Report(d, w, noon)
		once := d.DeepCopy()
		if Report(d, w, noon); !gocmp.Equal(once, d) {
			t.Errorf("a second report says something else:\n%s", gocmp.Diff(once, d))
		}
		return d.Status
	})
}

// FuzzReport judges PodDefaults and jobs with any words in their places.
func FuzzReport(f *testing.F) {
	f.Add("s3", "yes", "LEVEL", "debug", uint8(0))
	f.Add("", "!", "MASTER_ADDR", "", uint8(7))
	f.Fuzz(func(t *testing.T, key, value, name, text string, choice uint8) {
		policies := []v1alpha1.PodDefaultConflictPolicy{v1alpha1.ConflictFail, v1alpha1.ConflictKeepExisting, v1alpha1.ConflictOverride, ""}
		d := &v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: v1alpha1.PodDefaultSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}, ConflictPolicy: policies[choice%4],
			Env: []corev1.EnvVar{{Name: name, Value: text}},
		}}
		job := v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch}}
		for _, role := range []string{"Master", "Worker"} {
			job.Spec.Roles = append(job.Spec.Roles, v1alpha1.Role{Name: role, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{key: value}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Env: []corev1.EnvVar{{Name: text, Value: name}}}}},
			}})
		}
		w := World{Others: []v1alpha1.PodDefault{*d}, Jobs: []v1alpha1.TrainingJob{job}}
		before := w.Jobs[0].DeepCopy()
		Report(d, w, noon)
		if !gocmp.Equal(before, &w.Jobs[0]) {
			t.Fatal("the report changes the job")
		}
		if len(d.Status.Conditions) != 5 || d.Status.Matched != nil && *d.Status.Conflicted > *d.Status.Matched {
			t.Fatalf("the status makes no sense: %+v", d.Status)
		}
	})
}
