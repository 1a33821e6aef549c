// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/golden"
)

// cordonCase is a case: Accelerators, nodes in short, and what jobs hold against them.
type cordonCase struct {
	tallyCase
	Others  []string                         `json:"others"`
	Judged  map[string][]v1alpha1.JudgedNode `json:"judged"`
	Never   bool                             `json:"never"`
	Percent int32                            `json:"percent"`
}

func (c *cordonCase) world() World {
	w := c.tallyCase.world()
	w.Others, w.Judged = c.Others, c.Judged
	w.Healing = health.Default()
	w.Healing.Cordon, w.Healing.MaxCordonedPercent = !c.Never, max(c.Percent, 1)
	see(&w)
	return w
}

// see judges the nodes of a world as the index of a cache does.
func see(w *World) {
	var unwell []corev1.Node
	w.Unwell = map[string]bool{}
	for i := range w.Nodes {
		if health.Judge(health.Evidence{Node: &w.Nodes[i]}, w.Healing, noon).Verdict != health.Healthy {
			w.Unwell[w.Nodes[i].Name] = true
			unwell = append(unwell, w.Nodes[i])
		}
	}
	w.Common = health.Common(unwell, len(w.Nodes), w.Healing)
}

func TestCordons(t *testing.T) {
	golden.CasesIn(t, "testdata/cordon", func(t *testing.T, c *cordonCase) any {
		w := c.world()
		plan := Plan(&c.Accelerator, w, noon)
		out := transcript(&c.Accelerator, w, plan)
		if carryOut(t, &w, plan); len(plan.Patch) > 0 {
			out += "then:\n" + transcript(&c.Accelerator, w, Plan(&c.Accelerator, w, noon))
		}
		return out
	})
}

// transcript tells a plan and what the status says beside it.
func transcript(a *v1alpha1.Accelerator, w World, plan engine.Plan) string {
	var b strings.Builder
	for _, s := range plan.Patch {
		fmt.Fprintf(&b, "%s %s: %s\n  %s\n", cmp.Or(s.Reason, "(no event)"), s.Object.GetName(), cmp.Or(s.Why, "(no word)"), s.Data)
	}
	if plan.Again > 0 {
		fmt.Fprintf(&b, "again in %s\n", plan.Again)
	}
	a = a.DeepCopy()
	Report(a, w, noon)
	for _, n := range a.Status.CordonedNodes {
		fmt.Fprintf(&b, "cordoned: %s %s (%s) since %s\n", n.Name, n.Reason, n.Evidence, n.Since.UTC().Format(time.TimeOnly))
	}
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionNodesCordoned)
	fmt.Fprintf(&b, "%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	return b.String()
}

// carryOut does to the nodes of a world what the API server would.
func carryOut(t *testing.T, w *World, plan engine.Plan) {
	t.Helper()
	for _, s := range plan.Patch {
		for i := range w.Nodes {
			if n := &w.Nodes[i]; n.Name == s.Object.GetName() && n.UID == s.Object.GetUID() {
				w.Nodes[i] = patched(t, n, s.Data)
			}
		}
	}
	see(w)
}

func patched(t *testing.T, n *corev1.Node, patch []byte) corev1.Node {
	t.Helper()
	old, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	if old, err = yaml.YAMLToJSON(old); err != nil {
		t.Fatal(err)
	}
	text, err := strategicpatch.StrategicMergePatch(old, patch, corev1.Node{})
	if err != nil {
		t.Fatal(err)
	}
	var now corev1.Node
	if err := yaml.Unmarshal(text, &now); err != nil {
		t.Fatal(err)
	}
	return now
}

// TestCordoningInRandomWorlds plays monitors, administrators and jobs at random, and lets two Accelerators over the same nodes plan
// after each move.
func TestCordoningInRandomWorlds(t *testing.T) {
	for seed := range uint64(100) {
		playCordons(t, rand.New(rand.NewPCG(seed, 4)))
	}
}

func playCordons(t *testing.T, r *rand.Rand) {
	t.Helper()
	c := cordonCase{Percent: 1 + r.Int32N(50)}
	c.Accelerator.Name, c.Accelerator.Spec.Resource = "a", "nvidia.com/gpu"
	for i := range 1 + r.IntN(20) {
		c.Nodes = append(c.Nodes, nodeInShort{Name: fmt.Sprintf("n%02d", i), Devices: 8})
	}
	w, now := c.world(), noon
	theirs := map[string]bool{} // cordoned by an administrator
	for range 30 {
		now = now.Add(time.Duration(r.IntN(20)) * time.Minute)
		move(r, &w, theirs)
		see(&w)
		for _, name := range []string{"a", "b"} {
			a := c.Accelerator.DeepCopy()
			a.Name = name
			w.Others = []string{map[string]string{"a": "b", "b": "a"}[name]}
			plan := Plan(a, w, now)
			if diff := gocmp.Diff(plan, Plan(a, w, now)); diff != "" {
				t.Fatalf("two plans of one world differ:\n%s", diff)
			}
			before, limit := unschedulable(w), limit(len(w.Nodes), w.Healing.MaxCordonedPercent)
			carryOut(t, &w, plan)
			if after := unschedulable(w); len(after) > len(before) && len(after) > limit {
				t.Fatalf("%d nodes of %d are cordoned, at most %d may be", len(after), len(w.Nodes), limit)
			}
			carryOut(t, &w, Plan(a, w, now)) // a node that was uncordoned leaves room for another
			if again := Plan(a, w, now); len(again.Patch) > 0 {
				t.Fatalf("a third plan goes on: %s", again.Patch[0].Data)
			}
			for node := range theirs {
				if !unschedulable(w)[node] {
					t.Fatalf("node %s, which an administrator cordoned, was uncordoned", node)
				}
			}
		}
	}
	heal(t, c.Accelerator, &w, now.Add(24*time.Hour), theirs)
}

// heal lets all evidence go: nothing may be left that was not done by an administrator.
func heal(t *testing.T, a v1alpha1.Accelerator, w *World, now time.Time, theirs map[string]bool) {
	t.Helper()
	for i := range w.Nodes {
		w.Nodes[i].Status.Conditions = nil
	}
	w.Others = nil
	see(w)
	carryOut(t, w, Plan(&a, *w, now))
	if left := unschedulable(*w); !maps.Equal(left, theirs) {
		t.Fatalf("when all is well %v are cordoned, want %v", left, theirs)
	}
	for i := range w.Nodes {
		if w.Nodes[i].Annotations[names.Cordoned] != "" {
			t.Fatalf("node %s is marked for ever", w.Nodes[i].Name)
		}
	}
}

func unschedulable(w World) map[string]bool {
	all := map[string]bool{}
	for i := range w.Nodes {
		if w.Nodes[i].Spec.Unschedulable {
			all[w.Nodes[i].Name] = true
		}
	}
	return all
}

// move is one event in the life of a cluster.
func move(r *rand.Rand, w *World, theirs map[string]bool) {
	n := &w.Nodes[r.IntN(len(w.Nodes))]
	switch r.IntN(4) {
	case 0: // a monitor finds something
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: "GpuXidError", Status: corev1.ConditionTrue})
	case 1: // or that it is over
		n.Status.Conditions = nil
	case 2: // kubectl cordon, of a node that is in use
		if !n.Spec.Unschedulable {
			n.Spec.Unschedulable, theirs[n.Name] = true, true
		}
	default: // kubectl uncordon
		n.Spec.Unschedulable = false
		delete(theirs, n.Name)
	}
}

func TestOnlyWhatJobsHoldAgainstNodesWakesAnything(t *testing.T) {
	holding := func(devices ...string) *v1alpha1.TrainingJob {
		job := &v1alpha1.TrainingJob{}
		if len(devices) > 0 {
			job.Status.Nodes = []v1alpha1.JudgedNode{{Name: "n1", Devices: devices}}
		}
		return job
	}
	later := holding("GPU-1")
	later.Status.Ready = "1/1"
	for name, c := range map[string]struct {
		old, now *v1alpha1.TrainingJob
		want     bool
	}{
		"the first device fails":  {holding(), holding("GPU-1"), true},
		"another one fails":       {holding("GPU-1"), holding("GPU-1", "GPU-2"), true},
		"the node is forgiven":    {holding("GPU-1"), holding(), true},
		"a pod becomes ready":     {holding("GPU-1"), later, false},
		"nothing, on any account": {holding(), holding(), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judgements.Update(event.UpdateEvent{ObjectOld: c.old, ObjectNew: c.now}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if judgements.Create(event.CreateEvent{Object: holding()}) || !judgements.Delete(event.DeleteEvent{Object: holding("GPU-1")}) {
		t.Error("a new job wakes something, or the end of one that holds something against a node does not")
	}
}
