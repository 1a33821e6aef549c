// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
)

func twoDevices(t *testing.T) *driver {
	t.Helper()
	return &driver{node: "node", name: "gpu.millrace.dev", count: 2, unhealthy: t.TempDir(), cdi: t.TempDir()}
}

// published hands on what a driver publishes.
type published chan resourceslice.DriverResources

func (p published) PublishResources(_ context.Context, r resourceslice.DriverResources) error {
	p <- r
	return nil
}

func TestAnUnhealthyDeviceIsTaintedAndReported(t *testing.T) {
	d := twoDevices(t)
	ctx, stop := context.WithCancel(t.Context())
	slicesOf, reports := make(published), make(chan kubeletplugin.DeviceHealthReport)
	ended := make(chan error, 2)
	go func() { ended <- d.publish(ctx, slicesOf) }()
	go func() { ended <- d.WatchHealthStatus(ctx, reports) }()

	tainted := func() []bool {
		var found []bool
		for _, device := range (<-slicesOf).Pools["node"].Slices[0].Devices {
			found = append(found, len(device.Taints) > 0)
		}
		return found
	}
	health := func() []kubeletplugin.HealthStatus {
		var found []kubeletplugin.HealthStatus
		for _, device := range (<-reports).Devices {
			found = append(found, device.Health)
		}
		return found
	}
	if got := tainted(); !slices.Equal(got, []bool{false, false}) {
		t.Fatalf("at first tainted: %v", got)
	}
	if got := health(); !slices.Equal(got, []kubeletplugin.HealthStatus{kubeletplugin.HealthStatusHealthy, kubeletplugin.HealthStatusHealthy}) {
		t.Fatalf("at first: %v", got)
	}
	if err := os.WriteFile(filepath.Join(d.unhealthy, "gpu-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tainted(); !slices.Equal(got, []bool{false, true}) {
		t.Fatalf("then tainted: %v", got)
	}
	if got := health(); !slices.Equal(got, []kubeletplugin.HealthStatus{kubeletplugin.HealthStatusHealthy, kubeletplugin.HealthStatusUnhealthy}) {
		t.Fatalf("then: %v", got)
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAClaimGetsWhatIsDescribed(t *testing.T) {
	d := twoDevices(t)
	if err := d.describe(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(d.cdi, "millrace.dev-gpu.json"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cdiVersion":"0.5.0","devices":[` +
		`{"name":"gpu-0","containerEdits":{"env":["GPU_DEVICE_0=gpu-0"]}},{"name":"gpu-1","containerEdits":{"env":["GPU_DEVICE_1=gpu-1"]}}],` +
		`"kind":"millrace.dev/gpu"}`
	if string(text) != want {
		t.Errorf("described as %s", text)
	}
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{UID: "claim"}, Status: resourcev1.ResourceClaimStatus{
		Allocation: &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
			{Request: "gpu", Driver: "gpu.millrace.dev", Pool: "node", Device: "gpu-1"},
			{Request: "nic", Driver: "nic.example.com", Pool: "node", Device: "nic-0"},
		}}},
	}}
	prepared, err := d.PrepareResourceClaims(t.Context(), []*resourcev1.ResourceClaim{claim})
	if err != nil {
		t.Fatal(err)
	}
	devices := prepared["claim"].Devices
	if len(devices) != 1 || !slices.Equal(devices[0].CDIDeviceIDs, []string{"millrace.dev/gpu=gpu-1"}) {
		t.Errorf("prepared %+v", devices)
	}
}
