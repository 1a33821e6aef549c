// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
)

const (
	// maxNodes is the schema's bound on status.nodes, maxNamed how many of them a message names.
	maxNodes = 64
	maxNamed = 3
	// reasonNodeHealed is the reason of a failure that is a pod for which no node is left but one that it avoids for no reason any more.
	reasonNodeHealed = "NodeHealed"
)

// unwell are the reasons of failures by which a pod leaves its node, and those of the condition that says so.
var unwell = map[string]string{
	health.NodeUnreachable: v1alpha1.ReasonNodeUnhealthy,
	health.NodeNotReady:    v1alpha1.ReasonNodeUnhealthy,
	health.NodeCondition:   v1alpha1.ReasonNodeUnhealthy,
	health.NodeTaint:       v1alpha1.ReasonNodeUnhealthy,
	health.DeviceUnhealthy: v1alpha1.ReasonDeviceUnhealthy,
	health.DeviceTaint:     v1alpha1.ReasonDeviceUnhealthy,
}

// refusals are the words, or their beginnings, with which a kubelet turns away a pod that the scheduler gave it.
var refusals = []string{"OutOf", "TopologyAffinityError", "UnexpectedAdmissionError"}

// judge is what the pod of a replica makes of its node.
func (s *state) judge(r replica) health.Judgement {
	if r.pod == nil || r.pod.Spec.NodeName == "" {
		return health.Judgement{Verdict: health.Healthy}
	}
	e := health.Evidence{
		Node: s.nodes[r.pod.Spec.NodeName], Tolerations: r.Role.Template.Spec.Tolerations, Containers: allStatuses(r.pod),
		Outage: s.world.Outage,
	}
	return health.Judge(e, s.world.Healing, s.now)
}

// displaced is why the pod of a replica has to leave its node, if it has to. One that has ended well need not.
func (s *state) displaced(r replica) (*v1alpha1.Failure, bool) {
	if s.halted() || !r.current() || r.succeeded() {
		return nil, false
	}
	if name, healed := s.healed(r.pod); healed {
		return s.departure(r, reasonNodeHealed, "node "+name+" is no longer avoided"), true
	}
	j := s.judge(r)
	if j.Verdict != health.Bad {
		return nil, false
	}
	return s.departure(r, j.Kind, fmt.Sprintf("node %s: %s", r.pod.Spec.NodeName, j.Evidence)), true
}

func (s *state) departure(r replica, reason, message string) *v1alpha1.Failure {
	return &v1alpha1.Failure{Pod: r.Name(), Node: r.pod.Spec.NodeName, Reason: reason, Message: clip(message, 2048), Time: s.stamp()}
}

// blameNode is the failure of a pod on a node that it had to leave anyway: the program may well have failed for it.
func blameNode(f, away *v1alpha1.Failure) *v1alpha1.Failure {
	if away == nil {
		return f
	}
	f.Reason, f.Message = away.Reason, tail(f.Message+"\n"+away.Message)
	return f
}

// DeviceTaint is a taint NoExecute that a DeviceTaintRule puts on devices.
type DeviceTaint struct {
	// Rule is the name of the rule, and Taint what it puts on the devices, such as example.com/broken=ecc:NoExecute.
	Rule, Taint string
	// Pool and Device narrow the rule; empty stands for any. Pools of devices in nodes are usually named after the nodes.
	Pool, Device string
}

// byRule adds to the deletion of a pod by Kubernetes' device taint manager, which names no device, the rules that may be behind it.
func (s *state) byRule(f *v1alpha1.Failure) *v1alpha1.Failure {
	if f.Reason != health.DeviceTaint {
		return f
	}
	for _, t := range s.world.DeviceTaints {
		if t.Pool != "" && t.Pool != f.Node {
			continue
		}
		where := "every device"
		if t.Device != "" {
			where = "device " + t.Device
		}
		f.Message = clip(fmt.Sprintf("DeviceTaintRule %s puts %s on %s of node %s", t.Rule, t.Taint, where, f.Node), 2048)
		break
	}
	return f
}

// healed finds a node that a pod for which there is none was kept away from, and need not be.
func (s *state) healed(p *corev1.Pod) (string, bool) {
	if _, waits := unschedulable(p); !waits || p.Spec.NodeName != "" {
		return "", false
	}
	avoided := s.avoided()
	for name := range strings.SplitSeq(p.Annotations[names.Avoids], ",") {
		if name != "" && !slices.ContainsFunc(avoided, func(n v1alpha1.JudgedNode) bool { return n.Name == name }) {
			return name, true
		}
	}
	return "", false
}

// avoided are the nodes that new pods are kept away from.
func (s *state) avoided() []v1alpha1.JudgedNode {
	var all []v1alpha1.JudgedNode
	for _, n := range s.job.Status.Nodes {
		if n.Verdict == v1alpha1.NodeBad && s.holds(n) {
			all = append(all, n)
		}
	}
	return all
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

// holds is true while what was recorded of a node is still so.
func (s *state) holds(n v1alpha1.JudgedNode) bool {
	if n.Until != nil {
		return s.now.Before(n.Until.Time)
	}
	node := s.nodes[n.Name]
	return node != nil && health.Judge(health.Evidence{Node: node}, s.world.Healing, s.now).Verdict != health.Healthy
}

// untilJudged is how long until time alone changes what is thought of a node.
func (s *state) untilJudged() time.Duration {
	next := time.Duration(0)
	for _, r := range s.replicas {
		if r.current() && !r.succeeded() {
			next = engine.Soonest(next, s.judge(r).Due)
		}
	}
	for _, n := range s.job.Status.Nodes {
		if n.Until != nil {
			next = engine.Soonest(next, max(time.Second, n.Until.Sub(s.now)))
		}
	}
	return next
}

// judgeNodes brings status.nodes up to date: what failed here is held against the node it failed on, and what no longer holds is
// dropped.
func (s *state) judgeNodes() {
	s.job.Status.Nodes = slices.DeleteFunc(s.job.Status.Nodes, func(n v1alpha1.JudgedNode) bool { return !s.holds(n) })
	if len(s.job.Status.Nodes) == 0 {
		s.job.Status.Nodes = nil
	}
	if s.halted() {
		return
	}
	for _, f := range s.failures {
		if f.replica.pod == nil || f.replica.pod.Spec.NodeName == "" {
			continue
		}
		if s.turnedDown(f) {
			s.blameRejection(f.replica.pod.Spec.NodeName)
		} else if j := s.judge(f.replica); j.Verdict == health.Bad {
			s.blame(f.replica.pod.Spec.NodeName, j)
		}
	}
}

// turnedDown is true for a pod that its kubelet did not let in.
func (s *state) turnedDown(f failure) bool {
	return slices.ContainsFunc(refusals, func(known string) bool { return strings.HasPrefix(f.cause.Reason, known) })
}

// blame records that a node is bad. What was seen on a pod is gone with the pod, so that it is held against the node for a while.
func (s *state) blame(node string, j health.Judgement) {
	entry := v1alpha1.JudgedNode{Name: node, Verdict: v1alpha1.NodeBad, Reason: j.Kind, Evidence: clip(j.Evidence, 512), Since: s.stamp()}
	if j.Kind == health.DeviceUnhealthy {
		entry.Until = s.forgiveness()
		if !s.failsAgain(entry) {
			entry.Verdict = v1alpha1.NodeSuspect
		}
	}
	s.setNode(entry)
}

// failsAgain is true for a node of which a device failed before. The kubelet gives a device that is unhealthy to nobody, so that the
// node may well do with what is left: one device is not the node.
func (s *state) failsAgain(entry v1alpha1.JudgedNode) bool {
	return slices.ContainsFunc(s.job.Status.Nodes, func(n v1alpha1.JudgedNode) bool {
		again := n.Verdict == v1alpha1.NodeBad || n.Evidence != entry.Evidence || !n.Since.Equal(entry.Since)
		return n.Name == entry.Name && n.Reason == health.DeviceUnhealthy && again
	})
}

// blameRejection counts that a node turned a pod away, and records what that makes of it.
func (s *state) blameRejection(node string) {
	entry := v1alpha1.JudgedNode{Name: node, Since: s.stamp()}
	for _, n := range s.job.Status.Nodes {
		if n.Name == node {
			entry = n
		}
	}
	if entry.Verdict == v1alpha1.NodeBad && entry.Rejections == 0 {
		return // it is avoided for something worse
	}
	entry.Rejections++
	j := health.Judge(health.Evidence{Rejections: entry.Rejections}, s.world.Healing, s.now)
	if j.Verdict == health.Healthy {
		return
	}
	entry.Verdict, entry.Reason, entry.Evidence, entry.Until = v1alpha1.NodeVerdict(j.Verdict), j.Kind, j.Evidence, s.forgiveness()
	s.setNode(entry)
}

func (s *state) forgiveness() *metav1.Time {
	return new(metav1.NewTime(s.now.Add(s.world.Healing.AvoidFor).Truncate(time.Second)))
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

// avoiding adds to what the scheduler says which nodes new pods are kept away from, and why.
func (s *state) avoiding(message string) string {
	avoided := s.avoided()
	if len(avoided) == 0 {
		return message
	}
	slices.SortFunc(avoided, func(a, b v1alpha1.JudgedNode) int { return cmp.Compare(a.Name, b.Name) })
	var parts []string
	for _, n := range avoided[:min(len(avoided), maxNamed)] {
		parts = append(parts, fmt.Sprintf("%s (%s)", n.Name, n.Evidence))
	}
	if more := len(avoided) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.TrimSuffix(message, ".") + ". The job keeps away from " + strings.Join(parts, ", ") + ": see status.nodes."
}

// doubted are the nodes of which a device failed: new pods prefer others.
func (s *state) doubted() []string {
	var all []string
	for _, n := range s.job.Status.Nodes {
		if n.Verdict == v1alpha1.NodeSuspect && n.Reason == health.DeviceUnhealthy && s.holds(n) {
			all = append(all, n.Name)
		}
	}
	slices.Sort(all)
	return all
}

// avoid keeps a new pod away from the nodes that are judged bad. By name: the label of a host's name may be another's.
func avoid(s *state, _ framework.Member, p *corev1.Pod) {
	preferOthers(&p.Spec, s.doubted())
	var away []corev1.NodeSelectorRequirement
	all := s.avoidedNames()
	if len(all) == 0 {
		return
	}
	for _, name := range all {
		away = append(away, corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{name}})
	}
	keepAway(&p.Spec, away)
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[names.Avoids] = strings.Join(all, ",")
}

// preferOthers makes a pod prefer nodes other than these.
func preferOthers(spec *corev1.PodSpec, doubted []string) {
	if len(doubted) == 0 {
		return
	}
	term := corev1.NodeSelectorTerm{}
	for _, name := range doubted {
		term.MatchFields = append(term.MatchFields, corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{name}})
	}
	node := nodeAffinity(spec)
	node.PreferredDuringSchedulingIgnoredDuringExecution = append(node.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.PreferredSchedulingTerm{Weight: 100, Preference: term})
}

func nodeAffinity(spec *corev1.PodSpec) *corev1.NodeAffinity {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	return spec.Affinity.NodeAffinity
}

// keepAway adds requirements to each of the terms of a pod's node affinity: any one of them is enough to place it. A term without
// any requirement matches no node, and must go on to do so.
func keepAway(spec *corev1.PodSpec, away []corev1.NodeSelectorRequirement) {
	node := nodeAffinity(spec)
	if node.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		node.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: away}}}
		return
	}
	for i := range node.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		term := &node.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[i]
		if len(term.MatchExpressions)+len(term.MatchFields) > 0 {
			term.MatchFields = append(term.MatchFields, away...)
		}
	}
}

// whyRestarted is the reason of the condition that says why a unit was restarted last, and what to add to the cause.
func whyRestarted(rec v1alpha1.Restart) (reason, more string) {
	switch moved := unwell[rec.Cause.Reason]; {
	case moved != "":
		return moved, ""
	case turnedAwayForGood(rec):
		return v1alpha1.ReasonTurnedAway, keepsTrying
	case rec.Cause.ExitCode == nil:
		return v1alpha1.ReasonReplicaLost, ""
	}
	return v1alpha1.ReasonReplicaFailed, ""
}

// keepsTrying is what is said of a pod that is turned away again and again.
const keepsTrying = " Its nodes keep turning it away; it is tried again every minute. Look at the node, and at what the pod asks for."

// turnedAwayForGood is true for a unit whose pods were turned away so often that waiting alone is unlikely to help.
func turnedAwayForGood(rec v1alpha1.Restart) bool {
	return rec.Lost > health.Enough && rec.Cause != nil && isLostReason(rec.Cause.Reason)
}

// replacements counts the pods that were taken from nodes and devices, by the kind of evidence.
func replacements(before, after *v1alpha1.TrainingJob) []engine.Count {
	old := map[string]int32{}
	for _, rec := range before.Status.Restarts {
		old[rec.Unit] = rec.Lost
	}
	found := map[string]int{}
	for _, rec := range after.Status.Restarts {
		if n := rec.Lost - old[rec.Unit]; n > 0 && rec.Cause != nil && slices.Contains(health.Kinds, rec.Cause.Reason) {
			found[rec.Cause.Reason] += int(n)
		}
	}
	var all []engine.Count
	for _, kind := range health.Kinds {
		if found[kind] > 0 {
			all = append(all, engine.Count{What: "replaced", Variant: kind, Times: found[kind]})
		}
	}
	return all
}

// succeeded is true when replicas have succeeded of which the status did not tell. Their pods may be deleted, and they would run again.
func succeeded(before, after *v1alpha1.TrainingJob) bool {
	return !slices.EqualFunc(before.Status.Roles, after.Status.Roles, func(a, b v1alpha1.RoleStatus) bool {
		return a.SucceededIndexes == b.SucceededIndexes
	})
}
