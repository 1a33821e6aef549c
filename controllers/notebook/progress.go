// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/culling"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
	"github.com/millrace-ml/millrace/internal/route"
)

// objections are asked in order before anything is done for a notebook.
var objections = []func(*state) (reason, bool){ownsPrefix, unreadable}

// objects is why the notebook is not accepted, if it is not.
func (s *state) objects() (reason, bool) {
	for _, ask := range objections {
		if r, raised := ask(s); raised {
			return r, true
		}
	}
	return reason{}, false
}

// ownsPrefix: the address would lead nowhere if the server were elsewhere.
func ownsPrefix(s *state) (reason, bool) {
	want := names.NotebookPath(s.nb.Namespace, s.nb.Name)
	written := notebookpod.Written(s.nb)
	for i, e := range written.Spec.Containers[0].Env {
		if e.Name != notebookpod.Prefix || e.Value == want && e.ValueFrom == nil {
			continue
		}
		field := fmt.Sprintf("spec.env[%d]", i)
		if s.nb.Spec.Template != nil {
			field = fmt.Sprintf("spec.template.spec.containers[0].env[%d]", i)
		}
		return reason{v1alpha1.ReasonReservedEnv, fmt.Sprintf("%s: %s is set by Millrace, to %s: remove it.", field, notebookpod.Prefix, want)}, true
	}
	return reason{}, false
}

// unreadable: a schedule that is not understood would never stop anything.
func unreadable(s *state) (reason, bool) {
	if s.nb.Spec.Culling == nil {
		return reason{}, false
	}
	at, err := culling.Unreadable(s.nb.Spec.Culling.Schedules)
	return reason{v1alpha1.ReasonInvalidSchedule, fmt.Sprintf("spec.culling.%s: %v.", at, err)}, err != nil
}

func (s *state) rejected(r reason) []metav1.Condition {
	const nothing = "Nothing is done for a notebook that is not accepted; a server that runs is only stopped, by what stops others."
	all := []metav1.Condition{
		condition(v1alpha1.ConditionReady, no, r.word, r.message), condition(v1alpha1.ConditionAccepted, no, r.word, r.message),
	}
	for _, kind := range []string{
		v1alpha1.ConditionScheduled, v1alpha1.ConditionRunning, v1alpha1.ConditionStopped, v1alpha1.ConditionRouted,
		v1alpha1.ConditionUpToDate, v1alpha1.ConditionActivityKnown,
	} {
		all = append(all, condition(kind, unknown, r.word, nothing))
	}
	return append(all, condition(v1alpha1.ConditionReconciling, no, r.word, nothing), condition(v1alpha1.ConditionStalled, yes, r.word, r.message))
}

func (s *state) conditions() []metav1.Condition {
	ready := s.ready()
	reconciling := condition(v1alpha1.ConditionReconciling, no, ready.Reason, ready.Message)
	if ready.Status != yes {
		reconciling = condition(v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonProgressing, ready.Message)
	}
	return []metav1.Condition{
		ready,
		condition(v1alpha1.ConditionAccepted, yes, v1alpha1.ReasonAccepted, s.unserved()),
		s.scheduled(),
		s.running(),
		s.stopped(),
		s.routing(),
		s.upToDate(),
		s.activityKnown(),
		reconciling,
		condition(v1alpha1.ConditionStalled, no, v1alpha1.ReasonHealthy, "Nothing stands in the way for good."),
	}
}

// unserved says of an accepted notebook what the cluster cannot do of it.
func (s *state) unserved() string {
	w := s.nb.Spec.Workspace
	if w != nil && len(w.Snapshots) > 0 && !slices.Contains(s.world.Served, snapshotKind) {
		return fmt.Sprintf("The notebook can be run. spec.workspace.snapshots: the cluster does not serve %s, so none is taken.", snapshotKind.GroupKind())
	}
	return "The notebook can be run."
}

// ready: the notebook is as it is wanted, up or stopped.
func (s *state) ready() metav1.Condition {
	kind := v1alpha1.ConditionReady
	if s.stop != nil && s.world.Pod == nil {
		return condition(kind, yes, v1alpha1.ReasonStopped, "The notebook is stopped. "+s.stop.message)
	}
	c := s.running()
	c.Type = kind
	return c
}

// scheduled: the pod has a node.
func (s *state) scheduled() metav1.Condition {
	kind := v1alpha1.ConditionScheduled
	p := s.live()
	switch {
	case s.stop != nil:
		return condition(kind, unknown, v1alpha1.ReasonStopped, "The notebook is stopped.")
	case p == nil && s.doubt != nil:
		return condition(kind, s.doubt.Status, s.doubt.Reason, s.doubt.Message)
	case p == nil && s.world.Refused != "":
		return condition(kind, no, refusedBy(s.world.Refused), s.world.Refused)
	case p == nil:
		return condition(kind, unknown, v1alpha1.ReasonCreatingPods, "The pod is being made.")
	case p.Spec.NodeName != "":
		return condition(kind, yes, v1alpha1.ReasonAllScheduled, "The pod has a node.")
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return condition(kind, no, v1alpha1.ReasonUnschedulable, fmt.Sprintf("Pod %s has no node: %s", p.Name, c.Message))
		}
	}
	return condition(kind, unknown, v1alpha1.ReasonWaitingForScheduler, "The pod waits for the scheduler.")
}

// refusedBy tells a quota from other reasons why a pod is refused; the API server has only words for it.
func refusedBy(message string) string {
	if strings.Contains(message, "exceeded quota") || strings.Contains(message, "failed quota") {
		return v1alpha1.ReasonQuotaExceeded
	}
	return v1alpha1.ReasonPodRefused
}

// running: the server takes requests. If not, what stands in the way is named.
func (s *state) running() metav1.Condition {
	kind := v1alpha1.ConditionRunning
	p := s.live()
	switch {
	case s.stop != nil && s.world.Pod == nil:
		return condition(kind, no, v1alpha1.ReasonStopped, "The notebook is stopped.")
	case s.stop != nil || s.world.Pod != nil && terminating(s.world.Pod):
		return condition(kind, no, v1alpha1.ReasonStopping, fmt.Sprintf("Pod %s-0 is ending.", s.nb.Name))
	case up(p):
		return condition(kind, yes, v1alpha1.ReasonServing, "The server is up.")
	}
	if c := s.scheduled(); c.Status != yes {
		return condition(kind, no, c.Reason, c.Message)
	}
	if message, found := s.cannotStart(p); found {
		return condition(kind, no, v1alpha1.ReasonPodCannotStart, message)
	}
	if message, found := s.crashed(p); found {
		return condition(kind, no, v1alpha1.ReasonServerCrashed, message)
	}
	return condition(kind, no, v1alpha1.ReasonServerStarting, "The server is starting.")
}

// onTheWay are the reasons for which a container waits that pass by themselves, or that its last end explains.
var onTheWay = []string{"", "ContainerCreating", "PodInitializing", "CrashLoopBackOff"}

// cannotStart says which container cannot start and why: an image that cannot be had, a secret that is not there, a volume that cannot be
// mounted.
func (s *state) cannotStart(p *corev1.Pod) (string, bool) {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w == nil || slices.Contains(onTheWay, w.Reason) {
			continue
		}
		reason, message := w.Reason, w.Message
		if _, cause, found := strings.Cut(message, ": ErrImagePull: "); found {
			reason, message = "ErrImagePull", cause // it says so and that it waits in turn
		}
		return strings.TrimSuffix(fmt.Sprintf("Pod %s, container %s cannot start: %s: %s", p.Name, c.Name, reason, message), ": "), true
	}
	if s.world.Unmounted != "" {
		return fmt.Sprintf("Pod %s cannot start: %s", p.Name, s.world.Unmounted), true
	}
	return "", false
}

// crashed says how the server ended the last time, while it is not up again.
func (s *state) crashed(p *corev1.Pod) (string, bool) {
	f := s.nb.Status.Failure
	c := s.main(p)
	if c.RestartCount == 0 && c.State.Terminated == nil || f == nil || f.Pod != p.Name || f.ExitCode == nil {
		return "", false
	}
	message := fmt.Sprintf("Container %s of pod %s ended with exit code %d", f.Container, f.Pod, *f.ExitCode)
	if f.Reason != "" && f.Reason != "Error" {
		message += " (" + f.Reason + ")"
	}
	if f.Message != "" {
		lines := strings.Split(f.Message, "\n")
		message += ": " + lines[len(lines)-1]
	}
	return strings.TrimSuffix(message, ".") + ". It is started again.", true
}

func (s *state) stopped() metav1.Condition {
	kind := v1alpha1.ConditionStopped
	if s.stop == nil {
		return condition(kind, no, v1alpha1.ReasonNotStopped, "Nothing keeps the server away.")
	}
	return condition(kind, yes, s.stop.word, s.stop.message)
}

func (s *state) routing() metav1.Condition {
	kind := v1alpha1.ConditionRouted
	row, obstacle := s.chosen()
	switch {
	case obstacle != nil:
		return condition(kind, no, obstacle.Reason, obstacle.Message)
	case row == nil:
		return condition(kind, no, v1alpha1.ReasonNoRoute, fmt.Sprintf("There is no route; mill notebook open %s reaches the server.", s.nb.Name))
	}
	if o := s.routed(row); o != nil {
		if message, refused := route.Refusal(o); refused {
			return condition(kind, no, v1alpha1.ReasonRouteNotAccepted, fmt.Sprintf("%s %s is not accepted: %s", row.Object.Kind, o.GetName(), message))
		}
	}
	name := names.NotebookRoute(s.nb.Namespace, s.nb.Name)
	return condition(kind, yes, v1alpha1.ReasonRouteReady, fmt.Sprintf("%s %s leads to the server.", row.Object.Kind, name))
}

func (s *state) upToDate() metav1.Condition {
	kind := v1alpha1.ConditionUpToDate
	changes := s.nb.Status.PendingChanges
	if len(changes) == 0 {
		return condition(kind, yes, v1alpha1.ReasonCurrent, "Nothing waits for the next start.")
	}
	var fields []string
	for _, c := range changes {
		fields = append(fields, c.Field)
	}
	message := fmt.Sprintf("Changes wait for the next start (%s); mill notebook restart %s makes them now.", strings.Join(fields, ", "), s.nb.Name)
	if r := s.nb.Status.ResizeRefused; r != nil {
		message += " cpu and memory could not be changed in place: " + r.Message
	}
	return condition(kind, no, v1alpha1.ReasonChangesPending, message)
}

// activityKnown: the server tells when it was used. What was known stays while it has not been asked again, as after a restart of the
// manager.
func (s *state) activityKnown() metav1.Condition {
	kind := v1alpha1.ConditionActivityKnown
	a := s.activity()
	switch {
	case s.culling.Idle == 0:
		return condition(kind, unknown, v1alpha1.ReasonNotAsked, "The notebook is not stopped for being idle, so it is not asked.")
	case s.stop != nil || !up(s.live()):
		return condition(kind, unknown, v1alpha1.ReasonNotAsked, "The server does not run.")
	case a != nil && a.Fault != "":
		return condition(kind, no, v1alpha1.ReasonNoAnswer, "It is not stopped for being idle: "+a.Fault)
	case a != nil:
		return condition(kind, yes, v1alpha1.ReasonAnswered, "The server tells when it was last used.")
	}
	old := meta.FindStatusCondition(s.nb.Status.Conditions, kind)
	if old != nil && slices.Contains([]string{v1alpha1.ReasonAnswered, v1alpha1.ReasonNoAnswer}, old.Reason) {
		return *old
	}
	return condition(kind, unknown, v1alpha1.ReasonNotAsked, "The server has not been asked yet.")
}
