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
)

// failure is a replica's failed pod and why it failed.
type failure struct {
	replica replica
	cause   *v1alpha1.Failure
	// lost is true when the pod failed by no fault of its program.
	lost bool
}

// failing are the failed pods of this attempt, the root cause before the others.
func (s *state) failing() []failure {
	var all []failure
	for _, r := range s.replicas {
		away, displaced := s.displaced(r)
		switch {
		case r.failed():
			all = append(all, failure{replica: r, cause: blameNode(explain(r.pod, r.Role.MainName()), away), lost: displaced || lost(r.pod)})
		case displaced:
			all = append(all, failure{replica: r, cause: away, lost: true})
		case r.deleted() && !s.halted():
			all = append(all, failure{replica: r, cause: s.byRule(deletionOf(r, s.stamp())), lost: true})
		}
	}
	s.spareVictims(all)
	slices.SortStableFunc(all, func(a, b failure) int { return compareCauses(a.cause, b.cause) })
	return all
}

// spareVictims marks as lost what only tells of a lost peer while a peer was lost by nobody's fault: the replica that a node took
// away and those that failed for it are one loss, whatever their restart policy. Who failed for good at another time is no victim of it.
func (s *state) spareVictims(all []failure) {
	losses := s.losses(all)
	for i := range all {
		f := &all[i]
		f.lost = f.lost || peerLost(f.cause) && slices.ContainsFunc(losses, func(at time.Time) bool {
			return at.Sub(s.whenOf(f.cause)).Abs() < burst+unnoticed+s.world.Healing.NotReadyAfter
		})
	}
}

// unnoticed is how long a node may be silent before Kubernetes says so: 50 seconds, and what its rounds take.
const unnoticed = time.Minute

// losses are the times at which replicas were lost by nobody's fault, of a node that fell silent a while after it did.
func (s *state) losses(all []failure) []time.Time {
	var found []time.Time
	for _, f := range all {
		if f.lost {
			found = append(found, s.whenOf(f.cause))
		}
	}
	for _, rec := range s.job.Status.Restarts {
		if rec.Lost > 0 && rec.Cause != nil && rec.Cause.ExitCode == nil {
			found = append(found, timeOf(rec.Cause))
		}
	}
	return found
}

// whenOf is the time of a failure, now where nothing tells it.
func (s *state) whenOf(f *v1alpha1.Failure) time.Time {
	if f.Time.IsZero() {
		return s.now
	}
	return f.Time.Time
}

// judged are the failures that count: one for each unit, a loss before the others, because what restarts together restarts for it.
func (s *state) judged() []failure {
	first := map[string]int{}
	var all []failure
	for _, f := range s.failures {
		i, known := first[f.replica.unit]
		switch {
		case !known:
			first[f.replica.unit] = len(all)
			all = append(all, f)
		case f.lost && !all[i].lost:
			all[i] = f
		}
	}
	return all
}

// reasonDeleted is the reason of a failure that was a deletion of which nothing says why.
const reasonDeleted = "Deleted"

// deletionOf tells of a pod that was deleted, and by whom where the pod says so.
func deletionOf(r replica, now *metav1.Time) *v1alpha1.Failure {
	f := &v1alpha1.Failure{Pod: r.Name(), Reason: reasonDeleted, Time: now}
	if r.pod == nil {
		return f
	}
	f.Node = r.pod.Spec.NodeName
	grace := time.Duration(0)
	if g := r.pod.DeletionGracePeriodSeconds; g != nil {
		grace = time.Duration(*g) * time.Second
	}
	f.Time = new(metav1.NewTime(r.pod.DeletionTimestamp.Add(-grace)))
	for _, c := range r.pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			f.Reason, f.Message = cmp.Or(clip(c.Reason, 128), reasonDeleted), clip(c.Message, 2048)
		}
	}
	return f
}

// settling is how long failures that only tell of a lost peer wait for the failure of the peer: kubelets report when they
// get to it, and the first to report would be taken for the cause.
const settling = 3 * time.Second

// settled returns the failures when they can be acted on, or else how long they wait.
func (s *state) settled(all []failure) ([]failure, time.Duration) {
	if len(all) == 0 || len(all) == len(s.replicas) || slices.ContainsFunc(all, func(f failure) bool { return f.lost || !peerLost(f.cause) }) {
		return all, 0
	}
	for _, f := range all {
		// A clock of a node may be ahead of ours.
		if left := settling - s.now.Sub(timeOf(f.cause)); left > 0 && left <= 2*settling {
			return nil, left
		}
	}
	return all, 0
}

// burst is how far apart failures may be that have one cause: when a process dies the others find out at their next
// collective operation.
const burst = 30 * time.Second

// rootCause is the cause of the last burst of failures, or nil when there are none.
func rootCause(causes []*v1alpha1.Failure) *v1alpha1.Failure {
	if len(causes) == 0 {
		return nil
	}
	latest := slices.MaxFunc(causes, func(a, b *v1alpha1.Failure) int { return timeOf(a).Compare(timeOf(b)) })
	last := slices.DeleteFunc(slices.Clone(causes), func(f *v1alpha1.Failure) bool {
		return timeOf(latest).Sub(timeOf(f)) > burst
	})
	return slices.MinFunc(last, compareCauses)
}

// compareCauses puts the likelier root cause first: the earlier, but for one that only tells that another process is
// gone. The kubelet's times are whole seconds, in which a whole job may fail.
func compareCauses(a, b *v1alpha1.Failure) int {
	if one, other := peerLost(a), peerLost(b); one != other {
		if one {
			return 1
		}
		return -1
	}
	return timeOf(a).Compare(timeOf(b))
}

// lostPeer are words with which gloo, NCCL, MPI and ssh say that the other side of a connection is gone, or not there yet.
var lostPeer = []string{
	"Connection reset by peer", "Connection closed by peer", "Connection refused", "Broken pipe",
	"ncclRemoteError", "NCCL communicator was aborted", "remote process exited",
	"No route to host", "Connection timed out", "closed by remote host", "Could not resolve hostname", "unable to get host address",
	"lost communication with a remote daemon",
}

// peerLost is true for a program that ended because another did. A signal is always a cause of its own.
func peerLost(f *v1alpha1.Failure) bool {
	return f.Signal == "" && slices.ContainsFunc(lostPeer, func(words string) bool { return strings.Contains(f.Message, words) })
}

func timeOf(f *v1alpha1.Failure) time.Time {
	if f.Time == nil {
		return time.Time{}
	}
	return f.Time.Time
}

// lostReasons are the words with which the kubelet and the controllers say that a pod was taken down from outside, or was not
// let in; OutOf is followed by the resource.
var lostReasons = []string{
	"NodeAffinity", "NodeLost", "NodeShutdown", "OutOf", "Preempting", "Shutdown", "Terminated", "TopologyAffinityError",
	"UnexpectedAdmissionError",
}

func isLostReason(reason string) bool {
	return slices.ContainsFunc(lostReasons, func(known string) bool { return strings.HasPrefix(reason, known) })
}

// evicted is the kubelet's word for a pod it took down.
const evicted = "Evicted"

// ownFault are words in the message of an eviction by which the kubelet says that the pod used more than its limit.
var ownFault = []string{"exceeds the total limit", "exceeded its local ephemeral storage limit", "exceeds the limit"}

// lost is true for a pod that failed by no fault of its program: preemption, eviction, node loss or shutdown.
func lost(p *corev1.Pod) bool {
	if p.Status.Reason == evicted {
		return !slices.ContainsFunc(ownFault, func(words string) bool { return strings.Contains(p.Status.Message, words) })
	}
	return isLostReason(p.Status.Reason) || hasCondition(p, corev1.DisruptionTarget)
}

// explain finds the root cause in a pod: the container that failed first, init containers included.
func explain(p *corev1.Pod, main string) *v1alpha1.Failure {
	f := &v1alpha1.Failure{Pod: p.Name, Node: p.Spec.NodeName, Reason: clip(p.Status.Reason, 128), Message: clip(p.Status.Message, 2048)}
	first, found := firstEnd(p, main)
	if !found {
		f.Time = lastChange(p)
		return f
	}
	f.Container = first.name
	f.ExitCode = new(first.state.ExitCode)
	f.Signal = signal(first.state)
	f.Reason = cmp.Or(f.Reason, clip(first.state.Reason, 128))
	f.Message = cmp.Or(f.Message, tail(first.state.Message))
	f.Time = new(first.state.FinishedAt)
	if first.state.FinishedAt.IsZero() {
		f.Time = lastChange(p)
	}
	return f
}

// end is the unsuccessful end of a container; the lower rank is the likelier cause of ends at the same second.
type end struct {
	name  string
	rank  int
	state *corev1.ContainerStateTerminated
}

// firstEnd is the unsuccessful end of a container that came first; at the same second the main container's, and a
// sidecar's only where there is no other. Where none has ended so, it is the end before a restart that went well.
func firstEnd(p *corev1.Pod, main string) (end, bool) {
	ends := endsOf(p, main, func(c corev1.ContainerStatus) *corev1.ContainerStateTerminated {
		if c.State.Terminated == nil && !finished(p) {
			return c.LastTerminationState.Terminated
		}
		return c.State.Terminated
	})
	if len(ends) == 0 && p.Status.Phase != corev1.PodFailed {
		ends = endsOf(p, main, func(c corev1.ContainerStatus) *corev1.ContainerStateTerminated {
			return c.LastTerminationState.Terminated
		})
	}
	if len(ends) == 0 {
		return end{}, false
	}
	return slices.MinFunc(ends, func(a, b end) int {
		sidecars := a.rank/beside - b.rank/beside
		return cmp.Or(sidecars, a.state.FinishedAt.Compare(b.state.FinishedAt.Time), a.rank-b.rank)
	}), true
}

// endsOf are the unsuccessful ends of a pod's containers.
func endsOf(p *corev1.Pod, main string, of func(corev1.ContainerStatus) *corev1.ContainerStateTerminated) []end {
	var ends []end
	for _, c := range allStatuses(p) {
		if state := of(c); state != nil && state.ExitCode != 0 {
			ends = append(ends, end{c.Name, rankOf(p, c.Name, main), state})
		}
	}
	return ends
}

// beside is the rank of sidecars.
const beside = 2

func rankOf(p *corev1.Pod, container, main string) int {
	switch {
	case container == main:
		return 0
	case isSidecar(p, container):
		return beside
	default:
		return 1
	}
}

func lastChange(p *corev1.Pod) *metav1.Time {
	var last *metav1.Time
	for i := range p.Status.Conditions {
		if t := &p.Status.Conditions[i].LastTransitionTime; !t.IsZero() && (last == nil || last.Before(t)) {
			last = t
		}
	}
	return last.DeepCopy()
}

// signals are those that end programs; 128 plus the number is the exit code a shell or the runtime gives.
var signals = map[int32]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
	10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ",
}

func signal(end *corev1.ContainerStateTerminated) string {
	if end.Signal != 0 {
		return cmp.Or(signals[end.Signal], fmt.Sprintf("SIG%d", end.Signal))
	}
	return signals[end.ExitCode-128]
}

// tail keeps the last lines: that is where a program says why it ended.
func tail(message string) string {
	const most = 2048
	message = strings.TrimSpace(message)
	if len(message) <= most {
		return message
	}
	cut := message[len(message)-most+3:]
	return "..." + strings.ToValidUTF8(cut, "")
}

// brief is a failure as the record of a unit holds it: a job of thousands of pods must fit into one object. status.failure has
// the root cause in full.
func brief(f *v1alpha1.Failure, units int) *v1alpha1.Failure {
	const many = 500
	b := f.DeepCopy()
	b.Node, b.Message = "", clip(lastLine(f.Message), 160)
	if units > many {
		b.Message = ""
	}
	return b
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// sentence tells a failure in words.
func sentence(f *v1alpha1.Failure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Pod %s", f.Pod)
	if f.Container != "" {
		fmt.Fprintf(&b, ", container %s", f.Container)
	}
	switch {
	case f.Signal != "" && f.ExitCode != nil:
		fmt.Fprintf(&b, " was ended by %s, exit code %d", f.Signal, *f.ExitCode)
	case f.ExitCode != nil:
		fmt.Fprintf(&b, " failed with exit code %d", *f.ExitCode)
	case f.Reason == reasonDeleted:
		b.WriteString(" was deleted")
		return b.String()
	case unwell[f.Reason] != "" || slices.Contains(faultless, f.Reason):
		b.WriteString(" is moved")
	default:
		b.WriteString(" failed")
	}
	if f.Reason != "" && f.Reason != "Error" {
		fmt.Fprintf(&b, " (%s)", f.Reason)
	}
	if line := strings.TrimSuffix(lastLine(f.Message), "."); line != "" {
		fmt.Fprintf(&b, ": %s", line)
	}
	return b.String()
}

func lastLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	return clip(strings.TrimSpace(lines[len(lines)-1]), 300)
}
