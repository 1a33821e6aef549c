// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
)

// glance is how often it is looked for unhealthy devices, and repeat how often the kubelet is told of the same: it takes what it
// has not heard of for 30 seconds for unknown.
const (
	glance = 100 * time.Millisecond
	repeat = 10 * time.Second
)

// kind of the devices, as the container runtime knows them.
const kind = "millrace.dev/gpu"

// driver is the devices of a node.
type driver struct {
	node, name string
	count      int
	unhealthy  string // directory
	cdi        string // directory
}

func device(i int) string { return fmt.Sprintf("gpu-%d", i) }

// sick says of each device whether it is unhealthy now.
func (d *driver) sick() []bool {
	found := make([]bool, d.count)
	for i := range found {
		_, err := os.Stat(filepath.Join(d.unhealthy, device(i)))
		found[i] = err == nil && d.unhealthy != ""
	}
	return found
}

// eachChange calls with the health of the devices, again when it changes and, if there is a time, when that has passed.
func (d *driver) eachChange(ctx context.Context, most time.Duration, call func([]bool) error) error {
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	var told []bool
	var last time.Time
	for {
		sick := d.sick()
		if last.IsZero() || !slices.Equal(sick, told) || most > 0 && time.Since(last) >= most {
			told, last = sick, time.Now()
			if err := call(sick); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// publisher is the part of the helper that offers devices to the scheduler.
type publisher interface {
	PublishResources(context.Context, resourceslice.DriverResources) error
}

// publish keeps the devices published until the context ends. A taint keeps new claims away from the unhealthy.
func (d *driver) publish(ctx context.Context, to publisher) error {
	return d.eachChange(ctx, 0, func(sick []bool) error {
		slice := resourceslice.Slice{}
		for i, ill := range sick {
			slice.Devices = append(slice.Devices, offer(i, ill))
		}
		return to.PublishResources(ctx, resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{
			d.node: {Slices: []resourceslice.Slice{slice}},
		}})
	})
}

func offer(i int, ill bool) resourcev1.Device {
	o := resourcev1.Device{
		Name: device(i),
		Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
			"index":       {IntValue: new(int64(i))},
			"productName": {StringValue: new("Simulated-A100")},
		},
		Capacity: map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{"memory": {Value: resource.MustParse("80Gi")}},
	}
	if ill {
		o.Taints = []resourcev1.DeviceTaint{{Key: "millrace.dev/unhealthy", Effect: resourcev1.DeviceTaintEffectNoSchedule}}
	}
	return o
}

// describe tells the container runtime what a container with a device gets: here, only to know that it has it.
func (d *driver) describe() error {
	type edits struct {
		Env []string `json:"env"`
	}
	type described struct {
		Name  string `json:"name"`
		Edits edits  `json:"containerEdits"`
	}
	devices := []described{}
	for i := range d.count {
		devices = append(devices, described{device(i), edits{[]string{fmt.Sprintf("GPU_DEVICE_%d=%s", i, device(i))}}})
	}
	text, err := json.Marshal(map[string]any{"cdiVersion": "0.5.0", "kind": kind, "devices": devices})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.cdi, "millrace.dev-gpu.json"), text, 0o600)
}

// PrepareResourceClaims names the devices of claims to the container runtime.
func (d *driver) PrepareResourceClaims(_ context.Context, claims []*resourcev1.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	prepared := map[types.UID]kubeletplugin.PrepareResult{}
	for _, claim := range claims {
		prepared[claim.UID] = d.prepare(claim)
	}
	return prepared, nil
}

func (d *driver) prepare(claim *resourcev1.ResourceClaim) kubeletplugin.PrepareResult {
	var result kubeletplugin.PrepareResult
	for _, given := range claim.Status.Allocation.Devices.Results {
		if given.Driver != d.name || given.Pool != d.node {
			continue
		}
		result.Devices = append(result.Devices, kubeletplugin.Device{
			Requests: []string{given.Request}, PoolName: given.Pool, DeviceName: given.Device,
			CDIDeviceIDs: []string{kind + "=" + given.Device},
		})
	}
	return result
}

// UnprepareResourceClaims has nothing to undo.
func (d *driver) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	done := map[types.UID]error{}
	for _, claim := range claims {
		done[claim.UID] = nil
	}
	return done, nil
}

// HandleError writes down what goes wrong in the background, which is tried again.
func (d *driver) HandleError(_ context.Context, err error, message string) {
	log.Println(message+":", err)
}

// WatchHealthStatus tells the kubelet the health of the devices.
func (d *driver) WatchHealthStatus(ctx context.Context, reports chan<- kubeletplugin.DeviceHealthReport) error {
	return d.eachChange(ctx, repeat, func(sick []bool) error {
		select {
		case <-ctx.Done():
		case reports <- d.report(sick, time.Now()):
		}
		return nil
	})
}

func (d *driver) report(sick []bool, now time.Time) kubeletplugin.DeviceHealthReport {
	var report kubeletplugin.DeviceHealthReport
	for i, ill := range sick {
		health := kubeletplugin.HealthStatusHealthy
		if ill {
			health = kubeletplugin.HealthStatusUnhealthy
		}
		report.Devices = append(report.Devices, kubeletplugin.DeviceHealth{
			PoolName: d.node, DeviceName: device(i), Health: health, LastUpdated: now,
		})
	}
	return report
}
