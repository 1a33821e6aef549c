// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// MultiKueue runs a job in another cluster. Where the job was made it has a Workload and no pods; Kueue copies the Workload and then the
// job to a cluster that admits it, and the status of that copy back. The copy names its Workload by a label, and the manager
// there adopts it. This file has both sides.

// dispatched is true for a job that MultiKueue runs in another cluster.
func dispatched(job *v1alpha1.TrainingJob) bool { return job.Spec.ManagedBy == kueue.MultiKueue }

// sentHere is true for a job that MultiKueue copied from another cluster, and deletes.
func sentHere(job *v1alpha1.TrainingJob) bool { return job.Labels[kueue.OriginLabel] != "" }

// prebuilt is the Workload that was made for the job by somebody else, and whether there is to be one.
func prebuilt(job *v1alpha1.TrainingJob) (name string, given bool) {
	name = job.Labels[kueue.PrebuiltLabel]
	return name, name != "" && queueOf(job) != ""
}

// workloadName is the name of the job's Workload.
func workloadName(job *v1alpha1.TrainingJob) string {
	name, _ := prebuilt(job)
	return cmp.Or(name, names.Workload(job.Name))
}

// mirrored is true while Kueue may copy the status of the job in another cluster: from when the cluster is chosen until the quota is
// given back or the Workload has ended. What is written in that time would be lost, or take the copy's place.
func mirrored(job *v1alpha1.TrainingJob, w World) bool {
	wl := w.Queue.Workload
	return dispatched(job) && wl != nil && wl.Is(kueue.QuotaReserved) && !wl.Is(kueue.Finished) && (wl.Status.ClusterName != nil || wl.Is(kueue.Evicted))
}

// dispatch plans the Workload of a job that runs in another cluster, and nothing else.
func (s *state) dispatch() engine.Plan {
	plan := engine.Plan{Again: engine.Soonest(s.untilLost(), s.untilRecount())}
	s.enqueue(&plan)
	return plan
}

// busyElsewhere is true while the job has pods in another cluster, by the status that was copied from there. An eviction by the
// admission check says that the cluster is lost, or has taken its quota back itself: nothing is copied from there any more.
func (s *state) busyElsewhere() bool {
	if suspended(s.job) || !mirrored(s.job, s.world) || s.job.Status.StartTime == nil {
		return false
	}
	evicted := s.world.Queue.Workload.Condition(kueue.Evicted)
	return evicted.Status != yes || evicted.Reason != kueue.ByCheck && s.untilLost() > 0
}

// lostAfter is how long an evicted job may take to end in another cluster. One that is not heard of then keeps nobody else waiting.
const lostAfter = 15 * time.Minute

// untilLost is what of that is left for a job that was evicted, and 0 for any other.
func (s *state) untilLost() time.Duration {
	if w := s.world.Queue.Workload; w != nil && w.MustRelease() {
		return max(0, w.Condition(kueue.Evicted).LastTransitionTime.Add(lostAfter).Sub(s.now))
	}
	return 0
}

// dispatching is what a job waits for that is to run in another cluster.
func (s *state) dispatching(w *kueue.Workload) wait {
	switch end := w.Condition(kueue.Finished); {
	case w.DeletionTimestamp != nil:
		return pending(unknown, fmt.Sprintf("Workload %s is ending.", w.Name))
	case w.Is(kueue.Finished):
		return pending(no, fmt.Sprintf("Workload %s has ended (%s: %s) and the job has not: suspend and resume the job to send it anew.", w.Name, end.Reason, end.Message))
	case !w.Active():
		return wait{status: no, reason: v1alpha1.ReasonEvicted, message: eviction(w)}
	case s.reenters() != "":
		return wait{status: no, reason: v1alpha1.ReasonEvicted, message: s.reenters()}
	case w.MayRun():
		return pending(no, fmt.Sprintf("ClusterQueue %s sends no job to another cluster: give it an admission check of %s, or create the job anew without spec.managedBy.",
			w.ClusterQueue(), kueue.MultiKueue))
	}
	return standing(queueOf(s.job), w)
}

// awaitsPrebuilt says why the Workload that was made for a job is not the job's yet; empty when it is, or none was.
func (s *state) awaitsPrebuilt() string {
	name, given := prebuilt(s.job)
	if !given || s.world.Queue.Workload != nil {
		return ""
	}
	w := s.world.Queue.Prebuilt
	if w == nil {
		return fmt.Sprintf("Workload %s, which the job's label %s names, does not exist.", name, kueue.PrebuiltLabel)
	}
	end := w.Condition(kueue.Finished)
	switch owner := metav1.GetControllerOfNoCopy(w); {
	case owner != nil:
		return fmt.Sprintf("Workload %s, which the job's label %s names, belongs to %s %s.", name, kueue.PrebuiltLabel, owner.Kind, owner.Name)
	case w.Is(kueue.Finished):
		return fmt.Sprintf("Workload %s has ended: %s", name, end.Message)
	case w.DeletionTimestamp != nil:
		return fmt.Sprintf("Workload %s is being deleted.", name)
	case s.askable() && !w.Fits(s.workload()):
		return fmt.Sprintf("Workload %s asks for %s", name, otherPods)
	}
	return fmt.Sprintf("The job takes over Workload %s.", name)
}

// otherPods is why a Workload is of no use to its job.
const otherPods = "other pods than the job has: their roles and numbers, and what Accelerators stand for, must be the same in both clusters."

// adopt plans what becomes of the Workload that was made for the job: it is the job's, or ended where it asks for something else.
func (s *state) adopt(plan *engine.Plan) {
	w := s.world.Queue.Prebuilt
	switch {
	case w == nil || w.DeletionTimestamp != nil || w.Is(kueue.Finished) || metav1.GetControllerOfNoCopy(w) != nil:
	case w.Fits(s.workload()):
		owner := *metav1.NewControllerRef(s.job, v1alpha1.GroupVersion.WithKind(Name))
		owner.BlockOwnerDeletion = new(false)
		plan.Patch = append(plan.Patch, engine.Step{Object: w.Target(), Data: w.Adopt(owner)})
	default:
		plan.Patch = append(plan.Patch, statusOfWorkload(w, w.OutOfSync("The Workload asks for "+otherPods, s.now)))
	}
}

// elsewhere tells in which cluster a job runs.
func elsewhere(job *v1alpha1.TrainingJob) string {
	switch {
	case dispatched(job):
		return " It runs in another cluster, which Kueue chooses (spec.managedBy)."
	case sentHere(job):
		return " Kueue has sent it to this cluster."
	}
	return ""
}
