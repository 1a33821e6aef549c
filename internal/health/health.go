// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health judges nodes. What tells of a node that should not be used comes from many places: its kubelet falls silent,
// a monitor sets a condition or a taint, a device turns unhealthy below a pod, pods are turned away again and again. All of it
// is fused here into one judgement of a node, as seen by one pod, with the evidence in words. Everything in it is pure.
package health

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Verdict is what is thought of a node.
type Verdict string

// The verdicts.
const (
	Healthy Verdict = "Healthy"
	// Suspect is a node that may become Bad or Healthy: no pod leaves it yet.
	Suspect Verdict = "Suspect"
	// Bad is a node to leave and to stay away from.
	Bad Verdict = "Bad"
)

// Kinds of evidence. There are few, as they are labels of a metric.
const (
	NodeUnreachable   = "NodeUnreachable"
	NodeNotReady      = "NodeNotReady"
	NodeCondition     = "NodeCondition"
	NodeTaint         = "NodeTaint"
	DeviceUnhealthy   = "DeviceUnhealthy"
	AdmissionFailures = "AdmissionFailures"
	// DeviceTaint is Kubernetes' own word for a pod that it takes from a device with a taint NoExecute.
	DeviceTaint = "DeletionByDeviceTaintManager"
)

// Kinds are all kinds of evidence.
var Kinds = []string{NodeUnreachable, NodeNotReady, NodeCondition, NodeTaint, DeviceUnhealthy, DeviceTaint, AdmissionFailures}

// Policy is what nodes are judged by.
type Policy struct {
	// Off is true where no node is bad, whatever is known of it.
	Off bool
	// Conditions are node conditions that make a node bad: Type, which is bad when True, or Type=Status. * stands for any letters.
	Conditions []string
	// Taints are keys of taints NoSchedule and NoExecute that make a node bad. * stands for any letters.
	Taints []string
	// NotReadyAfter is how long a node may be silent or not ready.
	NotReadyAfter time.Duration
	// AvoidFor is how long what was seen on pods, which are gone then, is held against a node.
	AvoidFor time.Duration
	// Cordon is true where bad nodes may be cordoned, and MaxCordonedPercent how many of the nodes of an Accelerator: from 1 to 100.
	Cordon             bool
	MaxCordonedPercent int32
}

// Default is the policy of a manager that is not told otherwise: what node-problem-detector calls permanent, what the GPU monitors
// of NVIDIA, AWS and Azure set, and a node that an administrator has declared dead.
func Default() Policy {
	return Policy{
		Conditions: []string{
			"KernelDeadlock", "ReadonlyFilesystem",
			"Gpu*Watch", "GpuXidError", "SysLogsXIDError", "SysLogsSXIDError", "SysLogsGPUFallenOff",
			"AcceleratedHardwareReady=False", "GPUMissing", "NVLinkStatusInactive",
		},
		Taints:        []string{corev1.TaintNodeOutOfService, "AggregatedNodeHealth"},
		NotReadyAfter: 30 * time.Second,
		AvoidFor:      30 * time.Minute,

		MaxCordonedPercent: 10,
	}
}

// Enough is how many pods a node may turn away before it is bad.
const Enough = 3

// Evidence is what is known of a node and of one pod on it.
type Evidence struct {
	// Node is nil when it is not known.
	Node *corev1.Node
	// Tolerations are the user's. Who tolerates a taint by its key stays with what the taint stands for.
	Tolerations []corev1.Toleration
	// Containers are the statuses of the pod's containers, which tell of its devices.
	Containers []corev1.ContainerStatus
	// Common are the signs that most nodes show, as Common tells them.
	Common []string
	// Devices are the ids of devices that failed on the node before, as Broken tells them.
	Devices []string
	// Rejections is how many pods the node turned away.
	Rejections int32
}

// Judgement is what is thought of a node and why.
type Judgement struct {
	Verdict Verdict
	// Kind is the kind of evidence, and Evidence the same in words.
	Kind, Evidence string
	// Due is how long until a node that is suspect is judged anew; 0 when something will happen first.
	Due time.Duration
}

// questions are asked in order: the first that finds a node bad is its judgement, or else the first that finds it suspect.
var questions = []func(Evidence, Policy, time.Time) Judgement{silence, conditions, taints, devices, failures, rejections}

// Judge weighs the evidence.
func Judge(e Evidence, p Policy, now time.Time) Judgement {
	found := Judgement{Verdict: Healthy}
	if p.Off {
		return found
	}
	for _, ask := range questions {
		j := ask(e, p, now)
		switch {
		case j.Verdict == Bad:
			return j
		case j.Verdict == Suspect && found.Verdict == Healthy:
			found = j
		}
	}
	return found
}

// unready are the states of a kubelet that does not work, and the taints by which Kubernetes says so.
var unready = map[corev1.ConditionStatus]struct{ kind, taint, words string }{
	corev1.ConditionUnknown: {NodeUnreachable, corev1.TaintNodeUnreachable, "does not answer"},
	corev1.ConditionFalse:   {NodeNotReady, corev1.TaintNodeNotReady, "is not ready"},
}

// silence: the kubelet does not answer, or says that it cannot run pods. It may come back.
func silence(e Evidence, p Policy, now time.Time) Judgement {
	for _, c := range conditionsOf(e.Node) {
		state, known := unready[c.Status]
		if c.Type != corev1.NodeReady || !known || tolerates(e.Tolerations, corev1.Taint{Key: state.taint, Effect: corev1.TaintEffectNoExecute}) {
			continue
		}
		j := Judgement{Verdict: Bad, Kind: state.kind, Evidence: "it " + state.words}
		if left := c.LastTransitionTime.Add(p.NotReadyAfter).Sub(now); left > 0 {
			j.Verdict, j.Due = Suspect, left
			return j
		}
		return e.unlessCommon(j, signSilence, p)
	}
	return Judgement{}
}

// conditions: somebody watches the node and says in a condition that it is broken.
func conditions(e Evidence, p Policy, _ time.Time) Judgement {
	var found Judgement
	for _, c := range conditionsOf(e.Node) {
		if !p.lists(c) {
			continue
		}
		words := fmt.Sprintf("condition %s is %s", c.Type, c.Status)
		if c.Reason != "" {
			words += " (" + c.Reason + ")"
		}
		if c.Message != "" {
			words += ": " + c.Message
		}
		found = e.unlessCommon(Judgement{Verdict: Bad, Kind: NodeCondition, Evidence: words}, signCondition(c), p)
		if found.Verdict == Bad {
			return found
		}
	}
	return found
}

// lists is true for a condition that makes a node bad.
func (p Policy) lists(c corev1.NodeCondition) bool {
	return slices.ContainsFunc(p.Conditions, func(listed string) bool { return matchesCondition(listed, c) })
}

// marks is true for a taint that makes a node bad.
func (p Policy) marks(t corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && slices.ContainsFunc(p.Taints, func(listed string) bool {
		matched, err := path.Match(listed, t.Key)
		return err == nil && matched
	})
}

func matchesCondition(listed string, c corev1.NodeCondition) bool {
	kind, status, _ := strings.Cut(listed, "=")
	matched, err := path.Match(kind, string(c.Type))
	return err == nil && matched && string(c.Status) == cmp.Or(status, string(corev1.ConditionTrue))
}

// taints: somebody keeps pods away from the node because it is broken.
func taints(e Evidence, p Policy, _ time.Time) Judgement {
	if e.Node == nil {
		return Judgement{}
	}
	var found Judgement
	for _, t := range e.Node.Spec.Taints {
		if !p.marks(t) || tolerates(e.Tolerations, t) {
			continue
		}
		found = e.unlessCommon(Judgement{Verdict: Bad, Kind: NodeTaint, Evidence: "taint " + t.ToString()}, signTaint(t), p)
		if found.Verdict == Bad {
			return found
		}
	}
	return found
}

// devices: the kubelet says that a device the pod was given does not work.
func devices(e Evidence, _ Policy, _ time.Time) Judgement {
	for _, c := range e.Containers {
		for _, resource := range c.AllocatedResourcesStatus {
			i := slices.IndexFunc(resource.Resources, func(d corev1.ResourceHealth) bool { return d.Health == corev1.ResourceHealthStatusUnhealthy })
			if i < 0 {
				continue
			}
			device := resource.Resources[i]
			words := fmt.Sprintf("device %s (%s) of container %s is unhealthy", device.ResourceID, resource.Name, c.Name)
			if device.Message != nil && *device.Message != "" {
				words += ": " + *device.Message
			}
			return Judgement{Verdict: Bad, Kind: DeviceUnhealthy, Evidence: words}
		}
	}
	return Judgement{}
}

// Broken are the ids of the devices of containers that their kubelet calls unhealthy, in order. Two containers may be given one
// device: what tells the shares of it apart, as in GPU-1::0, is no part of its id.
func Broken(containers []corev1.ContainerStatus) []string {
	var found []string
	for _, c := range containers {
		for _, resource := range c.AllocatedResourcesStatus {
			found = append(found, unhealthy(resource.Resources)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func unhealthy(devices []corev1.ResourceHealth) []string {
	var found []string
	for _, d := range devices {
		if d.Health == corev1.ResourceHealthStatusUnhealthy {
			id, _, _ := strings.Cut(string(d.ResourceID), "::")
			found = append(found, id)
		}
	}
	return found
}

// failures: devices failed on the node. The kubelet gives a device that is unhealthy to nobody, so that the node may well do with
// what is left: one device is not the node.
func failures(e Evidence, _ Policy, _ time.Time) Judgement {
	switch n := len(e.Devices); n {
	case 0:
		return Judgement{}
	case 1:
		return Judgement{Verdict: Suspect, Kind: DeviceUnhealthy, Evidence: fmt.Sprintf("device %s was unhealthy", e.Devices[0])}
	default:
		return Judgement{Verdict: Bad, Kind: DeviceUnhealthy, Evidence: fmt.Sprintf("devices %s and %s were unhealthy", e.Devices[n-2], e.Devices[n-1])}
	}
}

// rejections: the node lets no pod in.
func rejections(e Evidence, _ Policy, _ time.Time) Judgement {
	if e.Rejections == 0 {
		return Judgement{}
	}
	j := Judgement{Verdict: Suspect, Kind: AdmissionFailures, Evidence: "it turned away a pod that was placed there"}
	if e.Rejections >= Enough {
		j.Verdict, j.Evidence = Bad, fmt.Sprintf("it turned away %d pods or more that were placed there", Enough)
	}
	return j
}

func conditionsOf(n *corev1.Node) []corev1.NodeCondition {
	if n == nil {
		return nil
	}
	return n.Status.Conditions
}

// tolerates is true for a toleration that names the taint. One of everything says nothing about a broken node.
func tolerates(tolerations []corev1.Toleration, taint corev1.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool {
		value := t.Operator == corev1.TolerationOpExists || t.Value == taint.Value
		return t.Key == taint.Key && value && (t.Effect == "" || t.Effect == taint.Effect)
	})
}

// Silent is true for a node of which the kubelet does not answer or is not ready.
func Silent(n *corev1.Node) bool {
	return slices.ContainsFunc(conditionsOf(n), func(c corev1.NodeCondition) bool {
		_, silent := unready[c.Status]
		return c.Type == corev1.NodeReady && silent
	})
}

// Signs are what a node can be held bad for, in words that go on from "most nodes".
const signSilence = "do not answer or are not ready"

func signCondition(c corev1.NodeCondition) string {
	return fmt.Sprintf("have the condition %s=%s", c.Type, c.Status)
}

func signTaint(t corev1.Taint) string { return "have the taint " + t.Key }

// Signs are those that a node shows.
func Signs(n *corev1.Node, p Policy) []string {
	var all []string
	if Silent(n) {
		all = append(all, signSilence)
	}
	for _, c := range conditionsOf(n) {
		if p.lists(c) {
			all = append(all, signCondition(c))
		}
	}
	for _, t := range n.Spec.Taints {
		if p.marks(t) {
			all = append(all, signTaint(t))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Common are the signs that more than half of all nodes show, and more than one. They are likelier the fault of who tells of them:
// a control plane that is deaf, a monitor that was just rolled out. The pods of such nodes may well run.
func Common(unwell []corev1.Node, all int, p Policy) []string {
	show := map[string]int{}
	for i := range unwell {
		for _, sign := range Signs(&unwell[i], p) {
			show[sign]++
		}
	}
	maps.DeleteFunc(show, func(_ string, n int) bool { return n < 2 || 2*n <= all })
	return slices.Sorted(maps.Keys(show))
}

// unlessCommon makes a node suspect that is bad for what most nodes show. Nobody tells that this is over: who waits for it looks again.
func (e Evidence) unlessCommon(j Judgement, sign string, p Policy) Judgement {
	if slices.Contains(e.Common, sign) {
		j.Verdict, j.Due = Suspect, p.NotReadyAfter
	}
	return j
}

// Same is true when two states of a node are judged alike by any pod and at any time: what changes between them, such as the
// heartbeats of its kubelet, need not wake anybody.
func Same(a, b *corev1.Node, p Policy) bool { return slices.Equal(facts(a, p), facts(b, p)) }

// facts are what a judgement of a node depends on.
func facts(n *corev1.Node, p Policy) []string {
	var all []string
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			all = append(all, string(c.Status))
		}
		if p.lists(c) {
			all = append(all, string(c.Type))
		}
	}
	for _, t := range n.Spec.Taints {
		all = append(all, t.ToString())
	}
	return all
}
