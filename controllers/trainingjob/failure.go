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

// failures are the failed pods of this attempt, the root cause before the others.
func (s *state) failures() []failure {
	var all []failure
	for _, r := range s.replicas {
		if r.failed() {
			all = append(all, failure{replica: r, cause: explain(r.pod, r.Role.Main), lost: lost(r.pod)})
		}
	}
	slices.SortStableFunc(all, func(a, b failure) int { return compareCauses(a.cause, b.cause) })
	return all
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

// lostPeer are words with which gloo, NCCL and MPI say that the other side of a connection is gone.
var lostPeer = []string{
	"Connection reset by peer", "Connection closed by peer", "Connection refused", "Broken pipe",
	"ncclRemoteError", "NCCL communicator was aborted", "remote process exited",
}

func peerLost(f *v1alpha1.Failure) bool {
	last := lastLine(f.Message)
	return slices.ContainsFunc(lostPeer, func(words string) bool { return strings.Contains(last, words) })
}

func timeOf(f *v1alpha1.Failure) time.Time {
	if f.Time == nil {
		return time.Time{}
	}
	return f.Time.Time
}

// lostReasons are the words with which the kubelet and the controllers say that a pod was taken down from outside.
var lostReasons = []string{
	"Evicted", "NodeAffinity", "NodeLost", "NodeShutdown", "OutOfcpu", "OutOfmemory", "OutOfpods", "Preempting",
	"Shutdown", "Terminated", "UnexpectedAdmissionError",
}

// lost is true for a pod that failed by no fault of its program: preemption, eviction, node loss or shutdown.
func lost(p *corev1.Pod) bool {
	if slices.Contains(lostReasons, p.Status.Reason) {
		return true
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}

// crashed is true for a pod with a container that failed and does not run again yet.
func crashed(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		waiting := c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
		return waiting || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0
	})
}

// explain finds the root cause in a pod: the container that failed first, init containers included.
func explain(p *corev1.Pod, main int) *v1alpha1.Failure {
	f := &v1alpha1.Failure{Pod: p.Name, Node: p.Spec.NodeName, Reason: clip(p.Status.Reason, 128), Message: clip(p.Status.Message, 2048)}
	name, end := firstEnd(p, main)
	if end == nil {
		f.Time = lastChange(p)
		return f
	}
	f.Container = name
	f.ExitCode = new(end.ExitCode)
	f.Signal = signal(end)
	f.Reason = cmp.Or(f.Reason, clip(end.Reason, 128))
	f.Message = cmp.Or(f.Message, tail(end.Message))
	f.Time = new(end.FinishedAt)
	if end.FinishedAt.IsZero() {
		f.Time = lastChange(p)
	}
	return f
}

// firstEnd is the unsuccessful end of a container that came first; at the same second the main container's.
func firstEnd(p *corev1.Pod, main int) (string, *corev1.ContainerStateTerminated) {
	type end struct {
		name  string
		main  bool
		state *corev1.ContainerStateTerminated
	}
	var ends []end
	mainName := ""
	if main < len(p.Spec.Containers) {
		mainName = p.Spec.Containers[main].Name
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		state := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated)
		if state != nil && state.ExitCode != 0 {
			ends = append(ends, end{c.Name, c.Name == mainName, state})
		}
	}
	if len(ends) == 0 {
		return "", nil
	}
	slices.SortStableFunc(ends, func(a, b end) int {
		if order := a.state.FinishedAt.Compare(b.state.FinishedAt.Time); order != 0 || a.main == b.main {
			return order
		}
		if a.main {
			return -1
		}
		return 1
	})
	return ends[0].name, ends[0].state
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
	default:
		b.WriteString(" failed")
	}
	if f.Reason != "" && f.Reason != "Error" {
		fmt.Fprintf(&b, " (%s)", f.Reason)
	}
	if line := lastLine(f.Message); line != "" {
		fmt.Fprintf(&b, ": %s", line)
	}
	return b.String()
}

func lastLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	return clip(strings.TrimSpace(lines[len(lines)-1]), 300)
}
