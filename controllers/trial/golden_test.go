// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"flag"
	"os"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/trialjob"
	"github.com/millrace-ml/millrace/test/golden"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(envtest.Main(m))
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// planCase is a trial, and what the world says of its job.
type planCase struct {
	Trial v1alpha1.Trial `json:"trial"`
	// Reading is Read where it is left out; Status is that of a job that is there.
	Reading Reading        `json:"reading"`
	Why     string         `json:"why"`
	Status  map[string]any `json:"status"`
	// Foreign is true of a job that belongs to somebody else.
	Foreign bool         `json:"foreign"`
	Pods    []corev1.Pod `json:"pods"`
	// Measured are series by metric: min, max and latest.
	Measured map[string][]string `json:"measured"`
	Drained  bool                `json:"drained"`
	Server   trialjob.Server     `json:"server"`
}

// outcome is what a case comes to.
type outcome struct {
	Create []any                `json:"create,omitempty"`
	Delete []string             `json:"delete,omitempty"`
	Again  string               `json:"again,omitempty"`
	Status v1alpha1.TrialStatus `json:"status"`
}

func TestPlans(t *testing.T) {
	golden.Cases(t, func(t *testing.T, c *planCase) any { return c.play(t) })
}

func (c *planCase) play(t *testing.T) outcome {
	t.Helper()
	trial := &c.Trial
	trial.Namespace, trial.UID = "team", "uid"
	if trial.Spec.Template.Retain == "" {
		trial.Spec.Template.Retain = v1alpha1.RetainWithTrial // as the schema does
	}
	w := c.world(t)
	plan := Plan(trial, w, noon)
	if diff := gocmp.Diff(plan, Plan(trial, w, noon)); diff != "" {
		t.Errorf("a second plan is another:\n%s", diff)
	}
	out := outcome{}
	for _, s := range plan.Create {
		out.Create = append(out.Create, s.Object)
	}
	for _, s := range plan.Delete {
		out.Delete = append(out.Delete, s.Object.GetName()+": "+s.Why)
	}
	if plan.Again > 0 {
		out.Again = plan.Again.String()
	}
	Report(trial, w, noon)
	once := trial.DeepCopy()
	Report(trial, w, noon.Add(time.Hour))
	if over(once) && !gocmp.Equal(once.Status, trial.Status) {
		t.Errorf("the end is not remembered:\n%s", gocmp.Diff(once.Status, trial.Status))
	}
	out.Status = once.Status
	return out
}

func (c *planCase) world(t *testing.T) World {
	t.Helper()
	w := World{Server: c.Server, Reading: c.Reading, Why: c.Why, Cause: causeOf(c.Pods), Requests: requestsOf(c.Pods), Held: heldBy(c.Pods), Began: beganAt(c.Pods), Measured: trialjob.Measured{Drained: c.Drained, Series: map[string]trialjob.Series{}}}
	if w.Reading == "" {
		w.Reading = Read
	}
	for name, v := range c.Measured {
		latest := trialjob.Real(v[2])
		w.Measured.Series[name] = trialjob.Series{
			Min: trialjob.Real(v[0]), Max: trialjob.Real(v[1]), Latest: latest, Curve: []trialjob.Point{{Step: 1, Value: trialjob.Real(v[0])}, {Step: 2, Value: latest}},
		}
	}
	if c.Status == nil {
		return w
	}
	job, err := trialjob.Render(&c.Trial)
	if err != nil {
		job = &unstructured.Unstructured{Object: map[string]any{}}
	}
	job.Object["status"] = c.Status
	job.SetUID("job-uid")
	if !c.Foreign {
		job.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(&c.Trial, v1alpha1.GroupVersion.WithKind(Name))})
	}
	w.Job = job
	return w
}

func TestAPodThatFailedFirstIsTheCause(t *testing.T) {
	at := func(minute int, code int32, message string) corev1.Pod {
		end := &corev1.ContainerStateTerminated{ExitCode: code, Message: message, FinishedAt: metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))}
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: message},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Terminated: end}}}},
		}
	}
	got := causeOf([]corev1.Pod{at(3, 1, "later"), at(1, 137, "first"), at(0, 0, "fine")})
	if want := "pod first, container main: exit code 137: first"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

var _ engine.Owner = &v1alpha1.Trial{}
