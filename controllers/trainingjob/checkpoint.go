// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/checkpoint"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// resumable tells every container its attempt and where checkpoints are, and gives the pod the time to write one.
func resumable(s *state, _ framework.Member, p *corev1.Pod) {
	vars := []corev1.EnvVar{{Name: names.EnvAttempt, Value: strconv.Itoa(int(attemptOf(p)))}}
	if c := s.job.Spec.RunPolicy.Checkpoint; c != nil {
		vars = append(vars, corev1.EnvVar{Name: names.EnvCheckpointDir, Value: c.Path})
		if c.GracePeriodSeconds != nil && p.Spec.TerminationGracePeriodSeconds == nil {
			p.Spec.TerminationGracePeriodSeconds = new(int64(*c.GracePeriodSeconds))
		}
	}
	podspec.AddEnv(&p.Spec, podspec.Every, vars)
}

// stopScript sends a signal to the first process of a container and waits for it to end: SIGTERM comes when the hook is over. A program
// that is deaf to the signal is ended as any other when the grace period is.
const stopScript = "kill -s %s 1; while kill -0 1 2>/dev/null; do sleep 1; done"

// signalled lets the kubelet send the job's own signal before SIGTERM. Kubernetes' lifecycle.stopSignal would be shorter, and is
// dropped without a word where its feature gate is off. Who only serves ssh is not the training.
func signalled(s *state, m framework.Member, p *corev1.Pod) {
	c, main := s.job.Spec.RunPolicy.Checkpoint, &p.Spec.Containers[m.Role.Main]
	if c == nil || c.StopSignal == "" || slices.Equal(main.Command, sshd) {
		return
	}
	if main.Lifecycle == nil {
		main.Lifecycle = &corev1.Lifecycle{}
	}
	script := fmt.Sprintf(stopScript, strings.TrimPrefix(string(c.StopSignal), "SIG"))
	main.Lifecycle.PreStop = &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/sh", "-c", script}}}
}

// lostSignals: a template that has a hook of its own, or whose containers share their processes, has no place for the stop signal.
func lostSignals(job *v1alpha1.TrainingJob) (objection, bool) {
	c := job.Spec.RunPolicy.Checkpoint
	if c == nil || c.StopSignal == "" {
		return objection{}, false
	}
	layout, _ := framework.Resolve(job)
	for i, r := range job.Spec.Roles {
		spec, main := &job.Spec.Roles[i].Template.Spec, layout.Find(r.Name).Main
		if hooks := spec.Containers[main].Lifecycle; hooks != nil && hooks.PreStop != nil {
			return invalid("spec.roles[%d].template.spec.containers[%d].lifecycle.preStop: spec.runPolicy.checkpoint.stopSignal is sent by a hook "+
				"there: remove one of the two.", i, main)
		}
		if field, shared := sharedProcesses(spec); shared {
			return invalid("spec.roles[%d].template.spec.%s: spec.runPolicy.checkpoint.stopSignal is sent to process 1 of the main "+
				"container, which is then none of its own: remove one of the two.", i, field)
		}
	}
	return objection{}, false
}

// sharedProcesses is the field by which process 1 of a container is not its own: that of the pod, or the init of the node, which SIGINT
// may restart.
func sharedProcesses(spec *corev1.PodSpec) (field string, shared bool) {
	if spec.HostPID {
		return "hostPID", true
	}
	return "shareProcessNamespace", spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace
}

// lostCheckpoints: a checkpoint in the container's own file system, or on a volume that is made with the pod, is gone with the pod, and
// nobody would notice until it is needed.
func lostCheckpoints(job *v1alpha1.TrainingJob) (objection, bool) {
	c := job.Spec.RunPolicy.Checkpoint
	if c == nil {
		return objection{}, false
	}
	what := "no container mounts a volume at " + c.Path + " or above it"
	for i := range job.Spec.Roles {
		spec := &job.Spec.Roles[i].Template.Spec
		for k := range spec.Containers {
			name, mounted := mounts(spec.Containers[k], c.Path)
			kind, goes := fleeting(spec.Volumes, name)
			if mounted && !goes {
				return objection{}, false
			}
			if mounted {
				what = "volume " + name + " that is mounted there is of kind " + kind
			}
		}
	}
	return invalid("spec.runPolicy.checkpoint.path: %s, so that checkpoints would be gone with their pod: "+
		"mount one that stays, such as a persistentVolumeClaim, nfs or hostPath, in the template.", what)
}

// mounts is the volume that a container has at a directory: of several above it the nearest.
func mounts(c corev1.Container, dir string) (string, bool) {
	dir = path.Clean(dir)
	nearest, name, found := "", "", false
	for _, m := range c.VolumeMounts {
		at := strings.TrimSuffix(path.Clean(m.MountPath), "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && (!found || len(at) > len(nearest)) {
			nearest, name, found = at, m.Name, true
		}
	}
	return name, found
}

// fleeting is true for a volume that is made with its pod and goes with it, and names its kind. One of no kind is an emptyDir.
func fleeting(volumes []corev1.Volume, name string) (string, bool) {
	i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		return "", false
	}
	v := volumes[i].VolumeSource
	kinds := []struct {
		name string
		is   bool
	}{
		{"emptyDir", v.EmptyDir != nil || v == (corev1.VolumeSource{})},
		{"configMap", v.ConfigMap != nil},
		{"secret", v.Secret != nil},
		{"downwardAPI", v.DownwardAPI != nil},
		{"projected", v.Projected != nil},
		{"ephemeral", v.Ephemeral != nil},
		{"gitRepo", v.GitRepo != nil},
		{"image", v.Image != nil},
	}
	for _, kind := range kinds {
		if kind.is {
			return kind.name, true
		}
	}
	return "", false
}

// recordCheckpoint keeps the last checkpoint in the status. Steps in between change nothing.
func (s *state) recordCheckpoint() {
	last, told := checkpoint.Last(s.job, s.world.Pods)
	if !told {
		return
	}
	st := s.checkpointStatus()
	st.LastTime, st.Step, st.Pod = new(metav1.NewTime(last.Time)), last.Step, last.Pod
}

// recordLoss adds the work that a stop costs, as of the moment it happened.
func (s *state) recordLoss(stopped time.Time) {
	s.lose(checkpoint.AtRisk(s.job, s.world.Pods, stopped))
}

// recordRelease adds the work that a release of the gang costs. What a failure of before cost was recorded with it.
func (s *state) recordRelease() {
	since := checkpoint.Since(s.job, s.world.Pods)
	charged := slices.ContainsFunc(s.job.Status.Restarts, func(rec v1alpha1.Restart) bool { return !stoppedBy(rec).Before(since) })
	if s.job.Status.RunningTime != nil && !charged {
		s.lose(s.now.Sub(since))
	}
}

func (s *state) lose(work time.Duration) {
	if lost := int64(work / time.Second); lost > 0 {
		s.checkpointStatus().LostSeconds += lost
	}
}

// stoppedBy is when the last failure of a unit stopped it, zero when that is not known.
func stoppedBy(rec v1alpha1.Restart) time.Time {
	if rec.Cause == nil || rec.Cause.Time == nil {
		return time.Time{}
	}
	return rec.Cause.Time.Time
}

func (s *state) checkpointStatus() *v1alpha1.CheckpointStatus {
	if s.job.Status.Checkpoint == nil {
		s.job.Status.Checkpoint = &v1alpha1.CheckpointStatus{}
	}
	return s.job.Status.Checkpoint
}

// stopped is when the first of the failures that are about to be recorded happened; now when none says.
func (s *state) stopped() time.Time {
	first := s.now
	for _, f := range s.failures {
		if at := timeOf(f.cause); !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first
}
