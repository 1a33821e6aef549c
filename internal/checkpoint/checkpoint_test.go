// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *metav1.Time { return new(metav1.NewTime(noon.Add(-d))) }

func pod(name string, started time.Duration, checkpoint, step string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{names.Checkpoint: checkpoint, names.Step: step}}}
	p.Labels = map[string]string{names.Role: "worker"}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "pytorch", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *before(started)}}}}
	return p
}

func TestAtRisk(t *testing.T) {
	running := v1alpha1.TrainingJobStatus{RunningAttempt: new(int32(0)), RunningTime: before(time.Hour)}
	beside := pod("a", time.Hour, "", "")
	beside.Status.ContainerStatuses = append(beside.Status.ContainerStatuses, corev1.ContainerStatus{
		Name: "proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *before(time.Minute)}},
	})
	told := running
	told.Checkpoint = &v1alpha1.CheckpointStatus{LastTime: before(10 * time.Minute)}
	for name, tc := range map[string]struct {
		status v1alpha1.TrainingJobStatus
		pods   []corev1.Pod
		want   time.Duration
	}{
		"a job that does not run":          {v1alpha1.TrainingJobStatus{RunningTime: before(time.Hour)}, []corev1.Pod{pod("a", time.Hour, "", "")}, 0},
		"since all ran":                    {running, nil, time.Hour},
		"since the last pod began again":   {running, []corev1.Pod{pod("a", 2*time.Hour, "", ""), pod("b", time.Minute, "", "")}, time.Minute},
		"a sidecar that began again":       {running, []corev1.Pod{beside}, time.Hour},
		"since a checkpoint":               {running, []corev1.Pod{pod("a", time.Hour, "2026-01-01T11:45:00Z", "7")}, 15 * time.Minute},
		"since a checkpoint of the status": {told, []corev1.Pod{pod("a", time.Hour, "2026-01-01T11:45:00Z", "7")}, 10 * time.Minute},
		"a checkpoint before the restart":  {told, []corev1.Pod{pod("a", time.Minute, "", "")}, time.Minute},
		"a clock that is ahead":            {running, []corev1.Pod{pod("a", time.Hour, "2026-01-01T12:00:05Z", "")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.TrainingJob{Status: tc.status}
			job.Spec.Framework = v1alpha1.PyTorch
			job.Spec.Roles = []v1alpha1.Role{{Name: "Worker", Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "pytorch"}}}}}}
			if got := AtRisk(job, tc.pods, noon); got != tc.want {
				t.Errorf("%s at risk, want %s", got, tc.want)
			}
		})
	}
}

func TestLast(t *testing.T) {
	job := &v1alpha1.TrainingJob{}
	if _, told := Last(job, []corev1.Pod{pod("a", 0, "yesterday", "1")}); told {
		t.Error("a time that is none was read")
	}
	pods := []corev1.Pod{pod("a", 0, "2026-01-01T11:00:00Z", "-1"), pod("b", 0, "2026-01-01T11:30:00Z", "12"), pod("c", 0, "2026-01-01T11:30:00Z", "13")}
	got, _ := Last(job, pods)
	want := Mark{Time: noon.Add(-30 * time.Minute), Step: new(int64(12)), Pod: "b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the first to tell of the newest (-want +got):\n%s", diff)
	}
	job.Annotations = map[string]string{names.Checkpoint: "2026-01-01T11:59:00Z"}
	if got, _ := Last(job, pods); got.Pod != "" || got.Step != nil {
		t.Errorf("the job's own annotation is newer, got %+v", got)
	}
}
