// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// playedKueue is a Kueue in memory, with the API server's part in it.
type playedKueue struct {
	world kueue.World
	made  int
	// removed is true while its API is not served.
	removed bool
}

// seen is what a job sees of Kueue, in a cluster that has every other optional API.
func (k *playedKueue) seen() ([]schema.GroupVersionKind, kueue.World) {
	if !k.removed {
		return Optional, k.world
	}
	return slices.DeleteFunc(slices.Clone(Optional), func(kind schema.GroupVersionKind) bool { return kind.Group == kueue.Group }), kueue.World{}
}

// carryOut does what a plan wants of the Workload, and tells whether that is anything.
func (k *playedKueue) carryOut(t *testing.T, plan engine.Plan) (wrote bool) {
	t.Helper()
	for _, s := range plan.Patch {
		wrote = true
		if k.world.Workload != nil {
			k.world.Workload = k.patched(t, s)
		} else if w := k.patched(t, s); len(w.OwnerReferences) > 0 {
			k.world.Workload, k.world.Prebuilt = w, nil
		} else {
			k.world.Prebuilt = w
		}
	}
	for _, s := range plan.Delete {
		if w := k.world.Workload; w != nil && s.Object.GetUID() == w.UID {
			wrote, k.world.Workload = true, nil
		}
	}
	for _, s := range plan.Create {
		u, isWorkload := s.Object.(*unstructured.Unstructured)
		if !isWorkload {
			continue
		}
		w, err := kueue.Read[kueue.Workload](u)
		if err != nil {
			t.Fatal(err)
		}
		k.made++
		w.UID, w.ResourceVersion = types.UID(fmt.Sprintf("workload-%d", k.made)), "1"
		wrote, k.world.Workload = true, w
	}
	return wrote
}

// patched is the Workload after a patch.
func (k *playedKueue) patched(t *testing.T, s engine.Step) *kueue.Workload {
	t.Helper()
	w := *cmp.Or(k.world.Workload, k.world.Prebuilt)
	w.Annotations, w.Labels = maps.Clone(w.Annotations), maps.Clone(w.Labels)
	if s.Subresource == "status" {
		w.Status.Conditions = nil
	} else if k.world.Workload != nil {
		w.Spec.PodSets = nil
	}
	if err := json.Unmarshal(s.Data, &w); err != nil {
		t.Fatal(err)
	}
	return &w
}

func (k *playedKueue) set(kind string, status metav1.ConditionStatus, reason string, now time.Time) {
	w := *k.world.Workload
	w.Status.Conditions = slices.DeleteFunc(slices.Clone(w.Status.Conditions), func(c metav1.Condition) bool { return c.Type == kind })
	c := metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "played", LastTransitionTime: metav1.NewTime(now)}
	w.Status.Conditions = append(w.Status.Conditions, c)
	k.world.Workload = &w
}

// admit admits a Workload that waits; choose picks the size of a PodSet that may be smaller.
func (k *playedKueue) admit(now time.Time, choose func(least, most int32) int32) {
	w := k.world.Workload
	if w == nil || w.Is(kueue.Finished) || w.Is(kueue.QuotaReserved) {
		return
	}
	k.set(kueue.Evicted, no, kueue.QuotaReserved, now)
	k.set(kueue.QuotaReserved, yes, kueue.QuotaReserved, now)
	k.set(kueue.Admitted, yes, kueue.Admitted, now)
	a := &kueue.Admission{ClusterQueue: "gpus"}
	for _, s := range w.Spec.PodSets {
		count := s.Count
		if s.MinCount != nil {
			count = choose(*s.MinCount, s.Count)
		}
		a.PodSetAssignments = append(a.PodSetAssignments, kueue.Assignment{Name: s.Name, Count: &count})
	}
	k.world.Workload.Status.Admission = a
}

// tell carries out a plan in a story, and tells what becomes of the Workload.
func (k *playedKueue) tell(s *story, plan engine.Plan) bool {
	held := k.world.Workload != nil && k.world.Workload.Is(kueue.QuotaReserved)
	old := k.world.Workload
	had := old != nil
	wrote := k.carryOut(s.t, plan)
	w := k.world.Workload
	for _, line := range []struct {
		is   bool
		text string
	}{
		{!had && w != nil, "enters its queue"},
		{had && w == nil, "leaves its queue"},
		{had && w != nil && w.Annotations[names.Asks] != old.Annotations[names.Asks], "asks for something else"},
		{held && w != nil && !w.Is(kueue.QuotaReserved), "gives its quota back"},
		{wrote && w != nil && w.Is(kueue.Finished), "is finished"},
		{wrote && w != nil && w.Is(kueue.PodsReady) && !w.Is(kueue.Finished), "has its pods ready"},
	} {
		if line.is {
			fmt.Fprintf(&s.text, "  ~ the Workload %s\n", line.text)
		}
	}
	return wrote
}

// play lets Kueue admit or evict the job.
func (k *playedKueue) play(s *story, step []string) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	switch step[0] {
	case "evict":
		k.set(kueue.Evicted, yes, step[1], s.now)
		k.world.Workload.Status.ClusterName = nil
		return
	case "send":
		k.admit(s.now, func(_, most int32) int32 { return most })
		k.world.Workload.Status.ClusterName = new("far")
		return
	case "copy":
		copied(s.job, step[1], s.now)
		return
	case "close":
		k.set(kueue.Finished, yes, "Succeeded", s.now)
		return
	case "remove", "install":
		k.removed = step[0] == "remove"
		return
	}
	k.admit(s.now, func(_, most int32) int32 {
		if len(step) == 1 {
			return most
		}
		n, err := strconv.ParseInt(step[1], 10, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		return int32(n)
	})
}

// copied gives the job the status it has in another cluster.
func copied(job *v1alpha1.TrainingJob, phase string, now time.Time) {
	job.Status = v1alpha1.TrainingJobStatus{Phase: phase, Ready: "as there"}
	ending := condition(v1alpha1.ConditionSucceeded, unknown, v1alpha1.ReasonInProgress, "copied")
	switch phase {
	case v1alpha1.PhaseRunning:
		job.Status.StartTime = new(metav1.NewTime(now))
	case v1alpha1.PhaseSucceeded:
		job.Status.CompletionTime = new(metav1.NewTime(now))
		ending = condition(v1alpha1.ConditionSucceeded, yes, v1alpha1.ReasonTrainingSucceeded, "copied")
	}
	set(job, ending)
}
