// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"maps"
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
	"github.com/millrace-ml/millrace/internal/podspec"
)

const (
	// maxNamed is how many avoided nodes a message names.
	maxNamed = 3
	// reasonNodeHealed is the reason of a failure that is a pod for which no node is left but one that it avoids for no reason any more.
	reasonNodeHealed = "NodeHealed"
	// reasonAcceleratorChanged is the reason of a failure that is a pod that found no node by what its Accelerator meant when it was made.
	reasonAcceleratorChanged = "AcceleratorChanged"
)

// faultless are the reasons of failures that are nobody's: the pod has not even run.
var faultless = []string{reasonNodeHealed, reasonAcceleratorChanged}

// unwell are the reasons of failures by which a pod leaves its node, and those of the condition that says so.
var unwell = map[string]string{
	health.NodeUnreachable: v1alpha1.ReasonNodeUnhealthy,
	health.NodeNotReady:    v1alpha1.ReasonNodeUnhealthy,
	health.NodeCondition:   v1alpha1.ReasonNodeUnhealthy,
	health.NodeTaint:       v1alpha1.ReasonNodeUnhealthy,
	health.DeviceUnhealthy: v1alpha1.ReasonDeviceUnhealthy,
	health.DeviceTaint:     v1alpha1.ReasonDeviceUnhealthy,
}

// judge is what the pod of a replica makes of its node.
func (s *state) judge(r replica) health.Judgement {
	if r.pod == nil || r.pod.Spec.NodeName == "" {
		return health.Judgement{Verdict: health.Healthy}
	}
	e := health.Evidence{Node: s.nodes[r.pod.Spec.NodeName], Containers: allStatuses(r.pod), Common: s.world.Common}
	if e.Node != nil {
		e.Tolerations = s.tolerations(r)
	}
	return health.Judge(e, s.world.Healing, s.now)
}

// tolerations are those that a pod was made with: the template's, and those of the role's Accelerator and of the flavor that its queue
// gave it. The pod's own are more: admission lets every pod tolerate for a while that its node does not answer.
func (s *state) tolerations(r replica) []corev1.Toleration {
	p := pod(r.Member, r.of)
	giveDevices(s, r.Member, p)
	place(s, r.Member, p)
	return p.Spec.Tolerations
}

// displaced is why the pod of a replica has to leave its node, if it has to. One that is over need not.
func (s *state) displaced(r replica) (*v1alpha1.Failure, bool) {
	if s.halted() || !r.current() || r.succeeded() || s.givenUp(r) {
		return nil, false
	}
	if name, healed := s.healed(r.pod); healed {
		return s.departure(r, reasonNodeHealed, "node "+name+" is no longer avoided"), true
	}
	if name, changed := s.reformed(r); changed {
		return s.departure(r, reasonAcceleratorChanged, "Accelerator "+name+" has changed since it was made"), true
	}
	j := s.judge(r)
	if j.Verdict != health.Bad {
		return nil, false
	}
	return s.departure(r, j.Kind, fmt.Sprintf("node %s: %s", r.pod.Spec.NodeName, j.Evidence)), true
}

// givenUp is true for a replica that failed for good in a role that goes on without it: whatever becomes of its node later, it is over.
func (s *state) givenUp(r replica) bool {
	if !r.failed() || !s.layout.Spares(r.Role.Name) {
		return false
	}
	return !s.replaced(failure{replica: r, cause: explain(r.pod, r.Role.MainName()), lost: lost(r.pod)})
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

// inCommon says what most nodes show, the job's among them, and that no pod leaves its node for it.
func (s *state) inCommon() string {
	for _, r := range s.replicas {
		if len(s.world.Common) == 0 || !r.current() || s.judge(r).Verdict != health.Suspect {
			continue
		}
		for _, sign := range health.Signs(s.nodes[r.pod.Spec.NodeName], s.world.Healing) {
			if slices.Contains(s.world.Common, sign) {
				return fmt.Sprintf(" Most nodes of the cluster %s: no pod leaves its node for that.", sign)
			}
		}
	}
	return ""
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
	node := podspec.NodeAffinity(spec)
	node.PreferredDuringSchedulingIgnoredDuringExecution = append(node.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.PreferredSchedulingTerm{Weight: 100, Preference: term})
}

// keepAway adds requirements to each of the terms of a pod's node affinity: any one of them is enough to place it. A term without
// any requirement matches no node, and must go on to do so.
func keepAway(spec *corev1.PodSpec, away []corev1.NodeSelectorRequirement) {
	node := podspec.NodeAffinity(spec)
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
	return !maps.EqualFunc(successes(before), successes(after), maps.Equal)
}
