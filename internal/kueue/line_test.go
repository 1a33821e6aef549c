// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestAhead(t *testing.T) {
	const me = `{metadata: {name: me, uid: m, creationTimestamp: "2026-01-01T12:00:00Z"}, spec: {queueName: q, priority: 5}%s}`
	for name, tc := range map[string]struct {
		mine, other string
		want        int
	}{
		"it is not ahead of itself":        {"", `{metadata: {uid: m}, spec: {queueName: q, priority: 9}}`, 0},
		"higher priority goes first":       {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T13:00:00Z"}, spec: {queueName: q, priority: 6}}`, 1},
		"lower priority does not":          {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T11:00:00Z"}, spec: {queueName: q}}`, 0},
		"the older of equals goes first":   {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T11:59:59Z"}, spec: {queueName: q, priority: 5}}`, 1},
		"the younger does not":             {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T12:00:01Z"}, spec: {queueName: q, priority: 5}}`, 0},
		"two of one second go by UID":      {"", `{metadata: {uid: a, creationTimestamp: "2026-01-01T12:00:00Z"}, spec: {queueName: q, priority: 5}}`, 1},
		"another queue is another line":    {"", `{metadata: {uid: o}, spec: {queueName: p, priority: 9}}`, 0},
		"one with quota is not in line":    {"", `{metadata: {uid: o}, spec: {queueName: q, priority: 9}, status: {conditions: [{type: QuotaReserved, status: "True"}]}}`, 0},
		"one whose quota was taken is":     {"", `{metadata: {uid: o}, spec: {queueName: q, priority: 9}, status: {conditions: [{type: QuotaReserved, status: "False"}]}}`, 1},
		"one that has finished is not":     {"", `{metadata: {uid: o}, spec: {queueName: q, priority: 9}, status: {conditions: [{type: Finished, status: "True"}]}}`, 0},
		"one that was taken out is not":    {"", `{metadata: {uid: o}, spec: {queueName: q, priority: 9, active: false}}`, 0},
		"one that is being deleted is not": {"", `{metadata: {uid: o, deletionTimestamp: "2026-01-01T12:00:00Z"}, spec: {queueName: q, priority: 9}}`, 0},
		"preemption keeps the place":       {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T11:00:00Z"}, spec: {queueName: q, priority: 5}, status: {conditions: [{type: Evicted, status: "True", reason: Preempted, lastTransitionTime: "2026-01-01T13:00:00Z"}]}}`, 1},
		"pods that were not ready lose it": {"", `{metadata: {uid: o, creationTimestamp: "2026-01-01T11:00:00Z"}, spec: {queueName: q, priority: 5}, status: {conditions: [{type: Evicted, status: "True", reason: PodsReadyTimeout, lastTransitionTime: "2026-01-01T13:00:00Z"}]}}`, 0},
		"so do one's own": {
			`, status: {conditions: [{type: Evicted, status: "True", reason: PodsReadyTimeout, lastTransitionTime: "2026-01-01T13:00:00Z"}]}`,
			`{metadata: {uid: o, creationTimestamp: "2026-01-01T12:30:00Z"}, spec: {queueName: q, priority: 5}}`, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			mine, err := Read[Workload](loose(t, fmt.Sprintf(me, tc.mine)))
			if err != nil {
				t.Fatal(err)
			}
			if got := mine.Ahead([]unstructured.Unstructured{*loose(t, tc.other)}); got != tc.want {
				t.Errorf("got %d ahead, want %d", got, tc.want)
			}
		})
	}
}

func loose(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(withKind(data)); err != nil {
		t.Fatal(err)
	}
	return u
}

// withKind is an object with what every object has.
func withKind(data []byte) []byte {
	return append([]byte(`{"apiVersion":"kueue.x-k8s.io/v1beta2","kind":"Workload",`), data[1:]...)
}

func TestPositionIsCoarseFurtherBack(t *testing.T) {
	for ahead, want := range map[int]int32{0: 1, 1: 2, 9: 10, 10: 20, 19: 20, 20: 50, 49: 50, 50: 100, 99: 100, 100: 200, 4999: 5000, 5000: 10000, 1 << 30: 100000} {
		if got := Position(ahead); got != want {
			t.Errorf("with %d ahead: got %d, want %d", ahead, got, want)
		}
	}
}
