// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// giving is a PodDefault for everything that sets LEVEL.
func giving(name, level string, priority int32, policy v1alpha1.PodDefaultConflictPolicy) v1alpha1.PodDefault {
	return v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PodDefaultSpec{
		Selector: &metav1.LabelSelector{}, Priority: &priority, ConflictPolicy: policy, Env: []corev1.EnvVar{{Name: "LEVEL", Value: level}},
	}}
}

func pod(env ...corev1.EnvVar) Pod {
	return Pod{Pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Env: env}}}}, Reserved: []string{"RANK"}}
}

func TestOrder(t *testing.T) {
	going := giving("going", "", 9, v1alpha1.ConflictFail)
	going.DeletionTimestamp = new(metav1.Now())
	unreadable := giving("unreadable", "", 9, v1alpha1.ConflictFail)
	unreadable.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "!"}}
	nothing := giving("nothing", "", 9, v1alpha1.ConflictFail)
	nothing.Spec.Selector, nothing.Spec.Priority = nil, nil
	last := giving("last", "", -1, v1alpha1.ConflictFail)
	plain := giving("plain", "", 0, v1alpha1.ConflictFail)
	plain.Spec.Priority = nil
	all := []v1alpha1.PodDefault{last, going, plain, giving("b", "", 5, ""), unreadable, nothing, giving("a", "", 5, "")}
	var got []string
	for _, d := range Matching(all, map[string]string{"x": "y"}) {
		got = append(got, d.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "plain", "last"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestConflicts(t *testing.T) {
	mine := corev1.EnvVar{Name: "LEVEL", Value: "mine"}
	reserved := giving("d", "", 0, v1alpha1.ConflictOverride)
	reserved.Spec.Env[0].Name = "RANK"
	for name, c := range map[string]struct {
		in   []v1alpha1.PodDefault
		pod  Pod
		want string // of LEVEL, or what is said of a conflict after a !
	}{
		"nothing there":   {in: []v1alpha1.PodDefault{giving("d", "info", 0, v1alpha1.ConflictFail)}, pod: pod(), want: "info"},
		"the same there":  {in: []v1alpha1.PodDefault{giving("d", "mine", 0, v1alpha1.ConflictFail)}, pod: pod(mine), want: "mine"},
		"fail":            {in: []v1alpha1.PodDefault{giving("d", "info", 0, v1alpha1.ConflictFail)}, pod: pod(mine), want: "!template.spec.containers[0].env[LEVEL] is"},
		"keep":            {in: []v1alpha1.PodDefault{giving("d", "info", 0, v1alpha1.ConflictKeepExisting)}, pod: pod(mine), want: "mine"},
		"override":        {in: []v1alpha1.PodDefault{giving("d", "info", 0, v1alpha1.ConflictOverride)}, pod: pod(mine), want: "info"},
		"two that differ": {in: []v1alpha1.PodDefault{giving("a", "x", 1, v1alpha1.ConflictFail), giving("b", "y", 0, v1alpha1.ConflictFail)}, pod: pod(), want: "!PodDefault b sets it"},
		"the first wins":  {in: []v1alpha1.PodDefault{giving("a", "x", 1, v1alpha1.ConflictFail), giving("b", "y", 0, v1alpha1.ConflictKeepExisting)}, pod: pod(), want: "x"},
		"reserved":        {in: []v1alpha1.PodDefault{reserved}, pod: pod(), want: "!variable RANK is set by Millrace itself"},
	} {
		t.Run(name, func(t *testing.T) {
			conflict, found := Apply(c.pod, Matching(c.in, nil))
			if said, conflicting := strings.CutPrefix(c.want, "!"); conflicting {
				if !found || !strings.Contains(conflict.Say("template"), said) {
					t.Errorf("got %v %q, want %q", found, conflict.Say("template"), said)
				}
				return
			}
			if got := c.pod.Spec.Containers[0].Env[0].Value; found || got != c.want {
				t.Errorf("LEVEL is %q, conflict %v; want %q", got, found, c.want)
			}
		})
	}
}

func TestAPodTellsWhatItGotAndPodDefaultsStayAsTheyAre(t *testing.T) {
	in := []v1alpha1.PodDefault{giving("a", "x", 1, v1alpha1.ConflictFail), giving("b", "x", 0, v1alpha1.ConflictFail)}
	in[0].Spec.NodeSelector, in[0].Spec.Labels = map[string]string{"zone": "a"}, map[string]string{"team": "blue"}
	before := []v1alpha1.PodDefault{*in[0].DeepCopy(), *in[1].DeepCopy()}
	p := pod()
	if c, found := Apply(p, Matching(in, nil)); found {
		t.Fatal(c.Say("template"))
	}
	p.Spec.NodeSelector["zone"], p.Labels["team"], p.Spec.Containers[0].Env[0].Value = "b", "red", "y"
	if diff := cmp.Diff(before, in); diff != "" {
		t.Errorf("a pod shares what PodDefaults say (-want +got):\n%s", diff)
	}
	if got := p.Annotations[names.PodDefaults]; got != "a,b" {
		t.Errorf("the annotation is %q", got)
	}
	untouched := pod()
	if _, found := Apply(untouched, nil); found || len(untouched.Annotations) > 0 {
		t.Errorf("without PodDefaults the pod has %v", untouched.Annotations)
	}
}
