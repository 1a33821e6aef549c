// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
)

// Reasons of events.
const (
	eventCordon   = "NodeCordoned"
	eventUncordon = "NodeUncordoned"
)

// Mark is the annotation of a node that was cordoned: for which Accelerator, why, and since when.
type Mark struct {
	// Accelerator is the name of the one it was done for.
	Accelerator string `json:"accelerator"`
	// Reason is the kind of evidence, and Evidence the same in words.
	Reason   string `json:"reason"`
	Evidence string `json:"evidence"`
	// Since is when it was done.
	Since metav1.Time `json:"since"`
	// Released is true when somebody has uncordoned the node since: it is theirs, and is not cordoned again for the same evidence.
	Released bool `json:"released,omitempty"`
}

// suspect is a node and what there is against it; mark is nil on one that was not cordoned by us.
type suspect struct {
	*corev1.Node
	health.Judgement
	mark *Mark
}

// Plan of an Accelerator makes nothing. Where the manager may cordon nodes, it does so with those of the Accelerator that are bad, and
// takes back what it did when the evidence is gone.
func Plan(a *v1alpha1.Accelerator, w World, now time.Time) engine.Plan {
	var plan engine.Plan
	if !w.Healing.Cordon {
		return plan
	}
	next, over := candidates(a, w, now)
	for _, s := range next {
		plan.Patch = append(plan.Patch, s.cordon(a, now))
	}
	ours := marked(a, w, now)
	for _, s := range ours {
		step, wait := s.next(w.Healing.AvoidFor, now)
		plan.Patch, plan.Again = append(plan.Patch, step...), engine.Soonest(plan.Again, wait)
	}
	for _, s := range slices.Concat(ours, over) {
		plan.Again = engine.Soonest(plan.Again, untilForgiven(w.Judged[s.Name], now))
	}
	return plan
}

// untilForgiven is how long until time alone takes some of what jobs hold against a node away. Nobody tells: a job that has ended does
// not change any more.
func untilForgiven(held []v1alpha1.JudgedNode, now time.Time) time.Duration {
	next := time.Duration(0)
	for _, h := range held {
		if h.Until != nil && now.Before(h.Until.Time) {
			next = engine.Soonest(next, h.Until.Sub(now))
		}
	}
	return next
}

// next is what becomes of a node with a mark, or else how long until time alone may change that.
func (s suspect) next(least time.Duration, now time.Time) ([]engine.Step, time.Duration) {
	theirs := s.mark.Released || !s.Spec.Unschedulable
	wait := s.mark.Since.Add(least).Sub(now)
	switch {
	case theirs && s.Verdict != health.Bad:
		return []engine.Step{s.patch(nil, nil)}, 0
	case theirs && !s.mark.Released:
		released := *s.mark
		released.Released = true
		return []engine.Step{s.patch(&released, nil)}, 0
	case theirs, s.Verdict == health.Bad:
		return nil, 0
	case wait > 0:
		return nil, wait
	}
	return []engine.Step{s.uncordon()}, 0
}

// candidates are the nodes of an Accelerator to cordon now, by name, and those that are bad too and over the limit. A node that
// somebody else has cordoned, or that somebody has uncordoned after us, is theirs.
func candidates(a *v1alpha1.Accelerator, w World, now time.Time) (next, over []suspect) {
	nodes, err := accelerator.Nodes(a, w.Nodes)
	if err != nil || w.Wrong != "" {
		return nil, nil
	}
	has := map[string]bool{}
	for _, s := range supplies(a, w, nodes) {
		has[s.Node] = true
	}
	nodes = slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return !has[n.Name] })
	left := limit(len(nodes), w.Healing.MaxCordonedPercent)
	for _, n := range nodes {
		if n.Spec.Unschedulable {
			left--
			continue
		}
		if s := judge(n, w, now); s.Verdict == health.Bad && s.mark == nil {
			over = append(over, s)
		}
	}
	slices.SortFunc(over, byName)
	left = max(0, min(left, len(over)))
	return over[:left], over[left:]
}

func byName(a, b suspect) int { return cmp.Compare(a.Name, b.Name) }

// limit is how many of the nodes of an Accelerator may be cordoned: a share of them, but one of two and none of one.
func limit(nodes int, percent int32) int {
	if nodes < 2 {
		return 0
	}
	return max(1, nodes*int(percent)/100)
}

// marked are the nodes that were cordoned for an Accelerator, or for one that is gone: they are taken care of whether or not they
// have devices of it now.
func marked(a *v1alpha1.Accelerator, w World, now time.Time) []suspect {
	var all []suspect
	for i := range w.Nodes {
		m := MarkOf(&w.Nodes[i])
		if m == nil || m.Accelerator != a.Name && slices.Contains(w.Others, m.Accelerator) {
			continue
		}
		all = append(all, judge(&w.Nodes[i], w, now))
	}
	slices.SortFunc(all, byName)
	return all
}

// MarkOf is nil for a node that was not cordoned by us. A mark that cannot be read is one of long ago.
func MarkOf(n *corev1.Node) *Mark {
	text, found := n.Annotations[names.Cordoned]
	if !found {
		return nil
	}
	m := &Mark{}
	if json.Unmarshal([]byte(text), m) != nil {
		return &Mark{}
	}
	return m
}

// judge puts together what the node itself shows and what all jobs hold against it. One job whose pods a node turns away may
// ask for what no node can give: it takes two.
func judge(n *corev1.Node, w World, now time.Time) suspect {
	e, jobs := health.Evidence{Common: w.Common}, 0
	if w.Unwell[n.Name] {
		e.Node = n
	}
	for _, held := range w.Judged[n.Name] {
		if held.Until != nil && now.Before(held.Until.Time) {
			e = e.Fuse(held.Devices, held.Rejections)
			jobs += int(min(held.Rejections, 1))
		}
	}
	if jobs < 2 {
		e.Rejections = 0
	}
	return suspect{n, health.Cordon(e, w.Healing), MarkOf(n)}
}

func (s suspect) cordon(a *v1alpha1.Accelerator, now time.Time) engine.Step {
	evidence := strings.ToValidUTF8(s.Evidence[:min(len(s.Evidence), 512)], "")
	note := &Mark{Accelerator: a.Name, Reason: s.Kind, Evidence: evidence, Since: metav1.NewTime(now.Truncate(time.Second).UTC())}
	step := s.patch(note, map[string]any{"unschedulable": true})
	step.Reason, step.Why = eventCordon, evidence
	return step
}

func (s suspect) uncordon() engine.Step {
	step := s.patch(nil, map[string]any{"unschedulable": nil})
	step.Reason, step.Why = eventUncordon, "it is healthy again"
	return step
}

// patch writes the mark and, where it is given, the spec together, and to the very version of the node that was judged: an administrator
// who cordons or uncordons it meanwhile goes first.
func (s suspect) patch(note *Mark, spec map[string]any) engine.Step {
	annotations := map[string]any{names.Cordoned: nil}
	if note != nil {
		annotations[names.Cordoned] = encode(note)
	}
	change := map[string]any{"metadata": map[string]any{"resourceVersion": s.ResourceVersion, "annotations": annotations}}
	if spec != nil {
		change["spec"] = spec
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.Name, UID: s.UID}}
	node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	return engine.Step{Object: node, Data: []byte(encode(change))}
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	return string(text)
}
