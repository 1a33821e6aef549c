// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/health"
)

// The schema's bounds on status.nodes and what it holds.
const (
	maxNodes   = 64
	maxDevices = 16
)

// refusals are the words, or their beginnings, with which a kubelet turns away a pod that the scheduler gave it.
var refusals = []string{"OutOf", "TopologyAffinityError", "UnexpectedAdmissionError"}

// grudges are what is still held against nodes.
func (s *state) grudges() []v1alpha1.JudgedNode {
	var all []v1alpha1.JudgedNode
	for _, n := range s.job.Status.Nodes {
		if n, held := s.heldAgainst(n); held {
			all = append(all, n)
		}
	}
	return all
}

// heldAgainst is what is left of what was recorded of a node: what it has healed of, or is forgiven, no longer counts.
func (s *state) heldAgainst(n v1alpha1.JudgedNode) (v1alpha1.JudgedNode, bool) {
	if n.Until != nil && !s.now.Before(n.Until.Time) {
		n.Devices, n.Rejections, n.Until = nil, 0, nil
	}
	j := health.Judgement{Verdict: health.Healthy}
	if node := s.nodes[n.Name]; node != nil && unwell[n.Reason] == v1alpha1.ReasonNodeUnhealthy {
		j = health.Judge(health.Evidence{Node: node}, s.world.Healing, s.now)
	}
	if j.Verdict != health.Healthy {
		return n, true // for what was seen first, until it is healthy
	}
	return s.sum(n)
}

// sum is what the devices that failed on a node and the pods it turned away come to.
func (s *state) sum(n v1alpha1.JudgedNode) (v1alpha1.JudgedNode, bool) {
	j := health.Judge(health.Evidence{Devices: n.Devices, Rejections: n.Rejections}, s.world.Healing, s.now)
	if j.Verdict == health.Healthy {
		return n, false
	}
	return s.ruled(n, j), true
}

// ruled is a node with a verdict. The same one again keeps its time and its words.
func (s *state) ruled(n v1alpha1.JudgedNode, j health.Judgement) v1alpha1.JudgedNode {
	if n.Verdict != v1alpha1.NodeVerdict(j.Verdict) || n.Reason != j.Kind {
		n.Verdict, n.Reason, n.Evidence, n.Since = v1alpha1.NodeVerdict(j.Verdict), j.Kind, clip(j.Evidence, 512), s.stamp()
	}
	return n
}

// avoided are the nodes that new pods are kept away from.
func (s *state) avoided() []v1alpha1.JudgedNode {
	return slices.DeleteFunc(s.grudges(), func(n v1alpha1.JudgedNode) bool { return n.Verdict != v1alpha1.NodeBad })
}

// avoidedNames are the names of those nodes, sorted.
func (s *state) avoidedNames() []string {
	var all []string
	for _, n := range s.avoided() {
		all = append(all, n.Name)
	}
	slices.Sort(all)
	return all
}

// doubted are the nodes of which a device failed: new pods prefer others.
func (s *state) doubted() []string {
	var all []string
	for _, n := range s.grudges() {
		if n.Verdict == v1alpha1.NodeSuspect && len(n.Devices) > 0 {
			all = append(all, n.Name)
		}
	}
	slices.Sort(all)
	return all
}

// judgeNodes brings status.nodes up to date: what no longer counts is dropped, and what was lost here is held against the node it
// was lost on.
func (s *state) judgeNodes() {
	s.job.Status.Nodes = s.grudges()
	if s.halted() {
		return
	}
	for _, f := range s.failures {
		if f.lost && f.replica.pod != nil && f.replica.pod.Spec.NodeName != "" {
			s.blame(f)
		}
	}
}

// blame adds what was seen with a failure to what is held against its node. What was seen on a pod is gone with the pod, so that it is
// held against the node for a while.
func (s *state) blame(f failure) {
	entry, j := s.entry(f.replica.pod.Spec.NodeName), s.judge(f.replica)
	switch {
	case s.turnedDown(f):
		entry.Rejections++
	case j.Verdict == health.Bad:
		entry.Devices = more(entry.Devices, health.Broken(allStatuses(f.replica.pod)))
	default:
		return
	}
	if len(entry.Devices) > 0 || entry.Rejections > 0 {
		entry.Until = new(metav1.NewTime(s.now.Add(s.world.Healing.AvoidFor).Truncate(time.Second)))
	}
	if unwell[j.Kind] == v1alpha1.ReasonNodeUnhealthy && j.Verdict == health.Bad {
		s.setNode(s.ruled(entry, j))
		return
	}
	entry, held := s.sum(entry)
	if !held {
		return
	}
	if entry.Reason == j.Kind {
		entry.Evidence = clip(j.Evidence, 512) // in the words of who saw it
	}
	s.setNode(entry)
}

// entry is what is held against a node, empty when nothing is.
func (s *state) entry(node string) v1alpha1.JudgedNode {
	i := slices.IndexFunc(s.job.Status.Nodes, func(n v1alpha1.JudgedNode) bool { return n.Name == node })
	if i < 0 {
		return v1alpha1.JudgedNode{Name: node}
	}
	return s.job.Status.Nodes[i]
}

// more are the devices that failed before, and those that failed now.
func more(before, now []string) []string {
	all := slices.Clone(before)
	for _, id := range now {
		if id = clip(id, 253); id != "" && !slices.Contains(all, id) && len(all) < maxDevices {
			all = append(all, id)
		}
	}
	return all
}

// turnedDown is true for a pod that its kubelet did not let in.
func (s *state) turnedDown(f failure) bool {
	return slices.ContainsFunc(refusals, func(known string) bool { return strings.HasPrefix(f.cause.Reason, known) })
}

// setNode records a node; of too many the oldest is forgotten.
func (s *state) setNode(entry v1alpha1.JudgedNode) {
	st := &s.job.Status
	st.Nodes = slices.DeleteFunc(st.Nodes, func(n v1alpha1.JudgedNode) bool { return n.Name == entry.Name })
	if len(st.Nodes) >= maxNodes {
		st.Nodes = st.Nodes[1:]
	}
	st.Nodes = append(st.Nodes, entry)
}
