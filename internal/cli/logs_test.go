// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestLogsPrintsWhatItCanAndSaysWhatItCannot(t *testing.T) {
	waiting := pod("worker", "0")
	waiting.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "digits:2"`},
	}
	unplaced := pod("worker", "0")
	unplaced.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available."},
	}}
	logs := func(_ context.Context, _, pod string, _ *corev1.PodLogOptions) (io.ReadCloser, error) {
		if pod == "digits-worker-1" {
			return nil, errors.New("dial tcp 10.0.0.7:10250: connect: no route to host")
		}
		return io.NopCloser(strings.NewReader(one)), nil
	}
	cases := map[string]struct {
		pods []client.Object
		args []string
		want said
	}{
		"a pod that has not started": {
			pods: []client.Object{pod("master", "0"), waiting},
			want: said{
				out: "master-0 | one\n",
				err: "note: digits-worker-0 has no log yet: ImagePullBackOff: Back-off pulling image \"digits:2\"\n",
			},
		},
		"a pod without a node": {
			pods: []client.Object{pod("master", "0"), unplaced},
			want: said{out: "master-0 | one\n", err: "note: digits-worker-0 has no log yet: Pending: 0/3 nodes are available.\n"},
		},
		"a node that is gone": {
			pods: []client.Object{pod("worker", "1"), pod("master", "0")},
			want: said{
				out: "master-0 | one\n", code: ExitError,
				err: "mill: the log of digits-worker-1 cannot be read: dial tcp 10.0.0.7:10250: connect: no route to host\n",
			},
		},
		"a container that has not been restarted": {
			pods: []client.Object{pod("master", "0")}, args: []string{"--previous"},
			want: said{err: "note: digits-master-0 has no earlier log: its container has not been restarted\n"},
		},
		"an index the job has not": {
			pods: []client.Object{pod("master", "0")}, args: []string{"--index", "7"},
			want: said{err: "No pod of digits is of index 7. Waiting for the manager.\n"},
		},
		"a container the job has not": {
			pods: []client.Object{pod("master", "0")}, args: []string{"-c", "sidecar"},
			want: said{
				code: ExitError,
				err:  "mill: --container sidecar: the containers of digits are pytorch\nSee \"mill logs --help\".\n",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects := append([]client.Object{job()}, tc.pods...)
			got := callOn(t, clusterOf(t, logs, objects...), append([]string{"logs", "digits"}, tc.args...)...)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(said{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
