// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// lab is a notebook that runs, and its pod.
func lab(edit func(*v1alpha1.Notebook)) []client.Object {
	nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: "team"}, Status: v1alpha1.NotebookStatus{
		Phase: v1alpha1.PhaseRunning, LastActivity: new(metav1.NewTime(noon.Add(-5 * time.Minute))), CullTime: new(metav1.NewTime(noon.Add(time.Hour))),
		PendingChanges: []v1alpha1.PendingChange{{Field: "image"}},
		Conditions:     []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "The server is up."}},
	}}
	if edit != nil {
		edit(nb)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "lab-0", Namespace: "team", UID: "pod-uid", Labels: map[string]string{names.Notebook: "lab"}}}
	pod.Spec.Containers = []corev1.Container{{Name: "lab", Ports: []corev1.ContainerPort{{ContainerPort: 8888}}}}
	return []client.Object{nb, pod}
}

func TestNotebooksAreATable(t *testing.T) {
	want := "NAME   PHASE     USED       STOPS IN   PENDING   MESSAGE\nlab    Running   5m0s ago   1h0m       image     The server is up.\n"
	if got := call(t, lab(nil), nil, "notebook", "list"); got.out != want || got.code != ExitOK {
		t.Errorf("got %+v, want:\n%s", got, want)
	}
	if got := call(t, lab(nil), nil, "nb", "-A", "-o", "yaml"); !strings.Contains(got.out, "kind: Notebook") {
		t.Errorf("got %+v", got)
	}
}

// after runs mill and returns the notebook that it leaves.
func after(t *testing.T, objects []client.Object, args ...string) (*v1alpha1.Notebook, said) {
	t.Helper()
	cluster, nb := clusterOf(t, nil, objects...), &v1alpha1.Notebook{}
	got := callOn(t, cluster, args...)
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "lab"}, nb); err != nil {
		t.Fatal(err)
	}
	return nb, got
}

func TestStopStartAndRestartAreAnnotations(t *testing.T) {
	nb, got := after(t, lab(nil), "notebook", "stop", "lab")
	if nb.Annotations[names.Stopped] == "" || got.code != ExitOK {
		t.Errorf("stop: %+v, %v", got, nb.Annotations)
	}
	nb, got = after(t, lab(func(nb *v1alpha1.Notebook) {
		nb.Annotations = map[string]string{names.Stopped: "x", names.StoppedBecause: "Idle", "mine": "stays"}
		nb.Spec.Stopped = new(true)
	}), "notebook", "start", "lab")
	if len(nb.Annotations) != 1 || *nb.Spec.Stopped || !strings.Contains(got.err, "change it there too") {
		t.Errorf("start: %+v, %v", got, nb.Annotations)
	}
	nb, got = after(t, lab(nil), "notebook", "restart", "lab")
	if nb.Annotations[names.Restart] != "pod-uid" || got.code != ExitOK {
		t.Errorf("restart: %+v, %v", got, nb.Annotations)
	}
	if _, got = after(t, lab(nil)[:1], "notebook", "restart", "lab"); got.code != ExitError || !strings.Contains(got.err, "mill notebook start lab") {
		t.Errorf("restart of nothing: %+v", got)
	}
	if got := call(t, lab(nil), nil, "notebook", "stop", "other"); got.code != ExitNotFound {
		t.Errorf("stop of nothing: %+v", got)
	}
}

func TestOpenPrintsTheAddressWithThePrefix(t *testing.T) {
	cluster := clusterOf(t, nil, lab(nil)...)
	var asked string
	cluster.Forward = func(_ context.Context, pod *corev1.Pod, ports string, ready func(int)) error {
		asked = pod.Name + " " + ports
		ready(40123)
		return nil
	}
	got := callOn(t, cluster, "notebook", "open", "lab")
	if got.out != "http://localhost:40123/notebook/team/lab/\n" || asked != "lab-0 0:8888" || got.code != ExitOK {
		t.Errorf("got %+v, asked for %q", got, asked)
	}
}
