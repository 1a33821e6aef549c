// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// connection is how one connection to a log goes: what it gives, how it ends, and when. One without an end stays open.
type connection struct {
	text  string
	end   error
	lasts time.Duration
	// every is the time before each line.
	every time.Duration
}

// kubelet serves the connections to each log in turn, each from the second that is asked for. A log it knows nothing more
// of is empty.
type kubelet struct {
	mu          sync.Mutex
	connections map[string][]connection
}

func (k *kubelet) open(ctx context.Context, _, pod string, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := pod
	if opts.Previous {
		key += " previous"
	}
	if len(k.connections[key]) == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	now := k.connections[key][0]
	k.connections[key] = k.connections[key][1:]
	r, w := io.Pipe()
	go func() {
		defer func() { w.CloseWithError(now.end) }()
		for line := range strings.Lines(now.text) {
			if at, err := time.Parse(time.RFC3339Nano, strings.Fields(line)[0]); err == nil && opts.SinceTime != nil && at.Before(opts.SinceTime.Time) {
				continue
			}
			pause(ctx, now.every)
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
		if now.end == nil {
			now.lasts = time.Hour
		}
		pause(ctx, now.lasts)
	}()
	return r, nil
}

// story is a job that is followed, step by step.
type story struct {
	t       *testing.T
	cluster *Cluster
}

// becomes writes a pod's first container status.
func (s story) becomes(p *corev1.Pod, change func(*corev1.PodStatus)) {
	s.t.Helper()
	change(&p.Status)
	if err := s.cluster.Status().Update(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
	s.later()
}

func (s story) finishes(j *v1alpha1.TrainingJob) {
	s.t.Helper()
	j.Status.Phase = v1alpha1.PhaseSucceeded
	j.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSucceeded, Status: metav1.ConditionTrue, Message: "All is done."}}
	if err := s.cluster.Update(s.t.Context(), j); err != nil {
		s.t.Fatal(err)
	}
	s.later()
}

func (s story) removes(o client.Object) {
	s.t.Helper()
	if err := s.cluster.Delete(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
	s.later()
}

// later lets everything happen that happens within a second.
func (s story) later() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func running(restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "pytorch", RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func terminated(restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "pytorch", RestartCount: restarts, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
}

// followed tells a story to mill logs -f, to its end.
func followed(t *testing.T, served map[string][]connection, objects []client.Object, tell func(story), args ...string) said {
	t.Helper()
	var got said
	synctest.Test(t, func(t *testing.T) {
		k := &kubelet{connections: served}
		s := story{t, clusterOf(t, k.open, objects...)}
		var out, errs bytes.Buffer
		ended := make(chan int)
		go func() {
			ended <- program(s.cluster, &out, &errs).Run(t.Context(), append([]string{"logs", "digits", "-f"}, args...))
		}()
		s.later()
		tell(s)
		got = said{code: <-ended, out: out.String(), err: errs.String()}
	})
	return got
}

const (
	one   = "2026-01-01T12:00:01.1Z one\n"
	two   = "2026-01-01T12:00:02.2Z two\n"
	also  = "2026-01-01T12:00:02.7Z also two\n"
	three = "2026-01-01T12:00:03.3Z three\n"
	four  = "2026-01-01T12:00:04.4Z four\n"
)

func TestFollowPrintsEveryLineOnce(t *testing.T) {
	cases := map[string]struct {
		connections []connection
		previous    []connection
		args        []string
		tell        func(story, *corev1.Pod)
		want        []string
	}{
		"another container of the pod restarts": {
			connections: []connection{{text: one}, {text: one + two, end: io.EOF}},
			tell: func(s story, p *corev1.Pod) {
				sidecar := running(1)
				sidecar.Name = "sidecar"
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses = append(st.ContainerStatuses, sidecar) })
			},
			want: []string{"one"},
		},
		"the connection is reset": {
			connections: []connection{{text: one + two + also + "2026-01-01T12:0", end: syscall.ECONNRESET}, {text: one + two + also + three}},
			tell:        func(story, *corev1.Pod) {},
			want:        []string{"one", "two", "also two", "three"},
		},
		"the connection ends while the container runs, and the same line is written twice": {
			connections: []connection{{text: one + two, end: io.EOF}, {text: one + two + two + three, end: io.EOF}, {text: one + two + two + three + four, end: io.EOF}},
			tell: func(s story, p *corev1.Pod) {
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = terminated(0) })
			},
			want: []string{"one", "two", "two", "three", "four"},
		},
		"the log cannot be opened for a while": {
			connections: []connection{{text: one, end: syscall.ECONNRESET}, {text: "", end: syscall.ECONNREFUSED}, {text: "", end: syscall.ECONNREFUSED}, {text: one + two}},
			tell:        func(s story, _ *corev1.Pod) { s.later(); s.later() },
			want:        []string{"one", "two"},
		},
		"the container starts again": {
			connections: []connection{{text: one, end: io.EOF}, {text: one + two, end: io.EOF}, {text: one + two, end: io.EOF}, {text: three, end: io.EOF}, {text: three + four, end: io.EOF}},
			tell: func(s story, p *corev1.Pod) {
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = terminated(0) })
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = running(1) })
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = terminated(1) })
			},
			want: []string{"one", "two", "three", "four"},
		},
		"the container starts again before its end was read": {
			connections: []connection{{text: one, end: syscall.ECONNRESET, lasts: 1500 * time.Millisecond}, {text: three}},
			previous:    []connection{{text: one + two, end: io.EOF}},
			tell: func(s story, p *corev1.Pod) {
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = running(1) })
			},
			want: []string{"one", "two", "three"},
		},
		"only what is new is wanted": {
			connections: []connection{{text: "", end: syscall.ECONNRESET}, {text: four}},
			args:        []string{"--tail", "0"},
			tell:        func(story, *corev1.Pod) {},
			want:        []string{"four"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, j := pod("master", "0"), job()
			served := map[string][]connection{p.Name: tc.connections, p.Name + " previous": tc.previous}
			got := followed(t, served, []client.Object{j, p}, func(s story) {
				tc.tell(s, p)
				s.later()
				s.finishes(j)
			}, tc.args...)
			want := "master-0 | " + strings.Join(tc.want, "\nmaster-0 | ") + "\n"
			if diff := cmp.Diff(want, got.out); diff != "" || got.code != ExitOK {
				t.Errorf("exit code %d, said %q, output (-want +got):\n%s", got.code, got.err, diff)
			}
		})
	}
}

func TestFollowSaysHowTheJobGoesUntilALogDoes(t *testing.T) {
	p, j := pod("master", "0"), job()
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	j.Status.Phase, j.Status.Ready = v1alpha1.PhaseStarting, "0/3"
	served := map[string][]connection{p.Name: {{text: one}}}
	got := followed(t, served, []client.Object{j, p}, func(s story) {
		s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = running(0) })
		s.finishes(j)
	})
	want := said{
		out: "master-0 | one\n",
		err: "digits  Starting  0/3 ready  Waiting for the manager.\ndigits succeeded after 1m0s. All is done.\n",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(said{})); diff != "" {
		t.Error(diff)
	}
}

func TestFollowEndsWithItsJobAndReadsTheRest(t *testing.T) {
	cases := map[string]struct {
		connections []connection
		tell        func(story, *v1alpha1.TrainingJob, *corev1.Pod)
		want        said
	}{
		"the pod is removed while its log is open": {
			connections: []connection{{text: one, end: io.ErrUnexpectedEOF, lasts: time.Minute}},
			tell: func(s story, j *v1alpha1.TrainingJob, p *corev1.Pod) {
				s.removes(p)
				s.finishes(j)
			},
			want: said{out: "master-0 | one\n", err: "digits succeeded after 1m0s. All is done.\n"},
		},
		"the container goes on after the job": {
			connections: []connection{{text: one}},
			tell:        func(s story, j *v1alpha1.TrainingJob, _ *corev1.Pod) { s.finishes(j) },
			want:        said{out: "master-0 | one\n", err: "digits succeeded after 1m0s. All is done.\n"},
		},
		"the job is deleted": {
			connections: []connection{{text: one}},
			tell:        func(s story, j *v1alpha1.TrainingJob, _ *corev1.Pod) { s.removes(j) },
			want:        said{out: "master-0 | one\n", err: "digits was deleted.\n"},
		},
		"there is much left to read": {
			connections: []connection{{text: one, every: 3 * time.Second, end: io.EOF}, {text: one + two + three + four, every: 2 * time.Second, end: io.EOF}},
			tell: func(s story, j *v1alpha1.TrainingJob, p *corev1.Pod) {
				s.becomes(p, func(st *corev1.PodStatus) { st.ContainerStatuses[0] = terminated(0) })
				s.finishes(j)
			},
			want: said{out: "master-0 | one\nmaster-0 | two\nmaster-0 | three\nmaster-0 | four\n", err: "digits succeeded after 1m0s. All is done.\n"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, j := pod("master", "0"), job()
			got := followed(t, map[string][]connection{p.Name: tc.connections}, []client.Object{j, p}, func(s story) { tc.tell(s, j, p) })
			got.err = got.err[strings.LastIndex(got.err[:len(got.err)-1], "\n")+1:]
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(said{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
