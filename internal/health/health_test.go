// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func with(conditions ...corev1.NodeCondition) *corev1.Node {
	return &corev1.Node{Status: corev1.NodeStatus{Conditions: conditions}}
}

func tainted(taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{Spec: corev1.NodeSpec{Taints: taints}}
}

func ready(status corev1.ConditionStatus, since time.Duration) corev1.NodeCondition {
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(noon.Add(-since))}
}

func device(health corev1.ResourceHealthStatus, message string) []corev1.ContainerStatus {
	return []corev1.ContainerStatus{{Name: "main", AllocatedResourcesStatus: []corev1.ResourceStatus{{
		Name: "nvidia.com/gpu", Resources: []corev1.ResourceHealth{{ResourceID: "GPU-1", Health: health, Message: &message}},
	}}}}
}

func TestJudge(t *testing.T) {
	deadlock := corev1.NodeCondition{Type: "KernelDeadlock", Status: corev1.ConditionTrue, Reason: "DockerHung", Message: "blocked"}
	for name, tc := range map[string]struct {
		evidence Evidence
		want     Judgement
	}{
		"nothing is known":             {Evidence{}, Judgement{Verdict: Healthy}},
		"a healthy node":               {Evidence{Node: with(ready("True", 0))}, Judgement{Verdict: Healthy}},
		"silent for a moment":          {Evidence{Node: with(ready("Unknown", 10*time.Second))}, Judgement{Suspect, NodeUnreachable, "it does not answer", 20 * time.Second}},
		"silent for too long":          {Evidence{Node: with(ready("Unknown", 30*time.Second))}, Judgement{Bad, NodeUnreachable, "it does not answer", 0}},
		"silent as most are":           {Evidence{Node: with(ready("Unknown", time.Hour)), Common: []string{signSilence}}, Judgement{Suspect, NodeUnreachable, "it does not answer", 30 * time.Second}},
		"not ready for too long":       {Evidence{Node: with(ready("False", time.Minute))}, Judgement{Bad, NodeNotReady, "it is not ready", 0}},
		"a condition that is listed":   {Evidence{Node: with(ready("True", 0), deadlock)}, Judgement{Bad, NodeCondition, "condition KernelDeadlock is True (DockerHung): blocked", 0}},
		"worse than silence":           {Evidence{Node: with(ready("Unknown", 0), deadlock)}, Judgement{Bad, NodeCondition, "condition KernelDeadlock is True (DockerHung): blocked", 0}},
		"a condition that is not true": {Evidence{Node: with(corev1.NodeCondition{Type: "KernelDeadlock", Status: "False"})}, Judgement{Verdict: Healthy}},
		"a condition nobody lists":     {Evidence{Node: with(corev1.NodeCondition{Type: "TooWarm", Status: "True"})}, Judgement{Verdict: Healthy}},
		"a condition by a pattern":     {Evidence{Node: with(corev1.NodeCondition{Type: "GpuMemWatch", Status: "True"})}, Judgement{Bad, NodeCondition, "condition GpuMemWatch is True", 0}},
		"a condition bad when false": {
			Evidence{Node: with(corev1.NodeCondition{Type: "AcceleratedHardwareReady", Status: "False"})},
			Judgement{Bad, NodeCondition, "condition AcceleratedHardwareReady is False", 0},
		},
		"declared dead": {
			Evidence{Node: tainted(corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: "NoExecute"})},
			Judgement{Bad, NodeTaint, "taint node.kubernetes.io/out-of-service=nodeshutdown:NoExecute", 0},
		},
		"cordoned":             {Evidence{Node: tainted(corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: "NoSchedule"})}, Judgement{Verdict: Healthy}},
		"a taint that prefers": {Evidence{Node: tainted(corev1.Taint{Key: "AggregatedNodeHealth", Effect: "PreferNoSchedule"})}, Judgement{Verdict: Healthy}},
		"a taint by name tolerated": {
			Evidence{
				Node:        tainted(corev1.Taint{Key: "AggregatedNodeHealth", Value: "False", Effect: "NoSchedule"}),
				Tolerations: []corev1.Toleration{{Key: "AggregatedNodeHealth", Value: "False"}},
			},
			Judgement{Verdict: Healthy},
		},
		"a taint tolerated like any other": {
			Evidence{Node: tainted(corev1.Taint{Key: "AggregatedNodeHealth", Effect: "NoSchedule"}), Tolerations: []corev1.Toleration{{Operator: "Exists"}}},
			Judgement{Bad, NodeTaint, "taint AggregatedNodeHealth:NoSchedule", 0},
		},
		"silence that is tolerated": {
			Evidence{
				Node:        with(ready("Unknown", time.Hour)),
				Tolerations: []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(900))}},
			},
			Judgement{Verdict: Healthy},
		},
		"an unhealthy device":   {Evidence{Containers: device("Unhealthy", "ECC")}, Judgement{Bad, DeviceUnhealthy, "device GPU-1 (nvidia.com/gpu) of container main is unhealthy: ECC", 0}},
		"a device nobody knows": {Evidence{Containers: device("Unknown", "")}, Judgement{Verdict: Healthy}},
		"a device that failed":  {Evidence{Devices: []string{"GPU-1"}, Rejections: 1}, Judgement{Suspect, DeviceUnhealthy, "device GPU-1 was unhealthy", 0}},
		"devices that failed":   {Evidence{Devices: []string{"GPU-1", "GPU-2"}}, Judgement{Bad, DeviceUnhealthy, "devices GPU-1 and GPU-2 were unhealthy", 0}},
		"a pod turned away":     {Evidence{Rejections: 1}, Judgement{Suspect, AdmissionFailures, "it turned away a pod that was placed there", 0}},
		"pods turned away":      {Evidence{Rejections: 3}, Judgement{Bad, AdmissionFailures, "it turned away 3 pods or more that were placed there", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Judge(tc.evidence, Default(), noon)); diff != "" {
				t.Errorf("Judge (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSharesOfADeviceAreOneDevice(t *testing.T) {
	containers := append(device("Unhealthy", ""), device("Unhealthy", "")...)
	containers[0].AllocatedResourcesStatus[0].Resources[0].ResourceID = "GPU-1::1"
	if got := Broken(append(containers, device("Healthy", "")...)); !slices.Equal(got, []string{"GPU-1"}) {
		t.Errorf("broken are %v", got)
	}
}

func TestNobodyIsBadWhenHealingIsOff(t *testing.T) {
	if j := Judge(Evidence{Containers: device("Unhealthy", ""), Rejections: 9}, Policy{Off: true}, noon); j.Verdict != Healthy {
		t.Errorf("judged %+v", j)
	}
}

func TestWhatMostNodesShow(t *testing.T) {
	xid := corev1.NodeCondition{Type: "GpuXidError", Status: "True"}
	broken := corev1.Taint{Key: "AggregatedNodeHealth", Effect: "NoSchedule"}
	silent, both := with(ready("Unknown", 0)), with(ready("False", 0), xid)
	both.Spec.Taints = []corev1.Taint{broken}
	for name, tc := range map[string]struct {
		unwell []corev1.Node
		all    int
		want   []string
	}{
		"none":            {nil, 0, nil},
		"the only node":   {[]corev1.Node{*silent}, 1, nil},
		"half":            {[]corev1.Node{*silent, *silent}, 4, nil},
		"most are silent": {[]corev1.Node{*silent, *both}, 3, []string{signSilence}},
		"one sign each":   {[]corev1.Node{*with(xid), *tainted(broken)}, 2, nil},
		"all":             {[]corev1.Node{*both, *both}, 2, []string{signSilence, "have the condition GpuXidError=True", "have the taint AggregatedNodeHealth"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Common(tc.unwell, tc.all, Default())); diff != "" {
				t.Errorf("Common (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatMostNodesShowCountsForNothing(t *testing.T) {
	xid := corev1.NodeCondition{Type: "GpuXidError", Status: "True"}
	deadlock := corev1.NodeCondition{Type: "KernelDeadlock", Status: "True"}
	n := with(xid)
	n.Spec.Taints = []corev1.Taint{{Key: "AggregatedNodeHealth", Effect: "NoSchedule"}}
	common := []string{signCondition(xid), signTaint(n.Spec.Taints[0])}
	want := Judgement{Suspect, NodeCondition, "condition GpuXidError is True", 30 * time.Second}
	if diff := cmp.Diff(want, Judge(Evidence{Node: n, Common: common}, Default(), noon)); diff != "" {
		t.Errorf("Judge (-want +got):\n%s", diff)
	}
	if j := Judge(Evidence{Node: n, Common: common[:1]}, Default(), noon); j.Verdict != Bad || j.Kind != NodeTaint {
		t.Errorf("with a taint of its own it is %+v", j)
	}
	n.Status.Conditions = append(n.Status.Conditions, deadlock)
	if j := Judge(Evidence{Node: n, Common: common}, Default(), noon); j.Verdict != Bad || j.Evidence != "condition KernelDeadlock is True" {
		t.Errorf("with a condition of its own it is %+v", j)
	}
}

func TestHeartbeatsChangeNothing(t *testing.T) {
	beat := func(at time.Time, message string) *corev1.Node {
		n := with(ready("True", 0), corev1.NodeCondition{Type: "GpuXidError", Status: "True", Message: message})
		for i := range n.Status.Conditions {
			n.Status.Conditions[i].LastHeartbeatTime = metav1.NewTime(at)
		}
		n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: "NoSchedule"}}
		return n
	}
	before := beat(noon, "xid 79")
	if !Same(before, beat(noon.Add(time.Minute), "xid 79 twice"), Default()) {
		t.Error("a heartbeat or other words would wake jobs")
	}
	for name, change := range map[string]func(*corev1.Node){
		"readiness": func(n *corev1.Node) { n.Status.Conditions[0].Status = "False" },
		"condition": func(n *corev1.Node) { n.Status.Conditions[1].Status = "False" },
		"taint":     func(n *corev1.Node) { n.Spec.Taints = nil },
	} {
		after := beat(noon, "xid 79")
		if change(after); Same(before, after, Default()) {
			t.Errorf("a change of its %s would wake nobody", name)
		}
	}
}
