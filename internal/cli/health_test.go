// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

func ago(d time.Duration) *metav1.Time { return new(metav1.NewTime(noon.Add(-d))) }

func TestGetShowsCheckpointsAndNodes(t *testing.T) {
	digits, master := job(), pod("master", "0")
	digits.Status.RunningAttempt, digits.Status.RunningTime = new(int32(0)), ago(time.Hour)
	digits.Status.Checkpoint = &v1alpha1.CheckpointStatus{LastTime: ago(30 * time.Minute), LostSeconds: 90}
	digits.Status.Nodes = []v1alpha1.JudgedNode{{Name: "gpu-1", Verdict: v1alpha1.NodeBad, Reason: "NodeTaint", Evidence: "taint x", Since: ago(time.Minute)}}
	master.Annotations = map[string]string{names.Checkpoint: noon.Add(-5 * time.Minute).UTC().Format(time.RFC3339), names.Step: "1200"}
	got := call(t, []client.Object{digits, master}, nil, "get", "digits")
	for _, want := range []string{
		"the last 5m0s ago, step 1200, told by digits-master-0\n", "5m0s of work at risk\n", "1m30s of work lost in stops\n",
		"gpu-1   Bad       NodeTaint   1m0s   taint x\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not said in\n%s", want, got.out)
		}
	}
	if got := call(t, []client.Object{digits, master}, nil, "top", "digits"); !strings.Contains(got.out, "1200") {
		t.Errorf("top does not show the step:\n%s", got.out)
	}
}
