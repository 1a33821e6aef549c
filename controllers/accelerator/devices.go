// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"fmt"
	"slices"
	"sync"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"

	"github.com/millrace-ml/millrace/internal/accelerator"
)

// chooser chooses devices by CEL, as the scheduler does. What reads the expressions is large, and is made when the first is read.
type chooser struct{ compiled func() *cel.Cache }

func newChooser() chooser {
	return chooser{sync.OnceValue(func() *cel.Cache { return cel.NewCache(256, cel.Features{EnableConsumableCapacity: true}) })}
}

// part is what is chosen of a ResourceSlice, which is a part of a pool of devices.
type part struct {
	driver, pool string
	generation   int64
	devices      []accelerator.Device
}

// choose returns the devices of a slice that meet all selectors.
func choose(ctx context.Context, slice *resourcev1.ResourceSlice, selectors []cel.CompilationResult) part {
	chosen := part{driver: slice.Spec.Driver, pool: slice.Spec.Pool.Name, generation: slice.Spec.Pool.Generation}
	for i := range slice.Spec.Devices {
		d := &slice.Spec.Devices[i]
		if meets(ctx, slice.Spec.Driver, d, selectors) {
			chosen.devices = append(chosen.devices, deviceOf(slice, d))
		}
	}
	return chosen
}

// compile reads expressions; wrong says which cannot be read. The path is of the list they are from.
func (c chooser) compile(path string, expressions []string) (compiled []cel.CompilationResult, wrong string) {
	for i, expression := range expressions {
		result := c.compiled().GetOrCompile(expression)
		if result.Error != nil {
			return nil, fmt.Sprintf("%s[%d]: %s", path, i, result.Error.Detail)
		}
		compiled = append(compiled, result)
	}
	return compiled, ""
}

// meets is true of a device that meets all selectors. One that lacks an attribute that is asked for does not.
func meets(ctx context.Context, driver string, d *resourcev1.Device, selectors []cel.CompilationResult) bool {
	given := cel.Device{Driver: driver, AllowMultipleAllocations: d.AllowMultipleAllocations, Attributes: d.Attributes, Capacity: d.Capacity}
	return !slices.ContainsFunc(selectors, func(s cel.CompilationResult) bool {
		match, _, err := s.DeviceMatches(ctx, given)
		return err != nil || !match
	})
}

// newest are the devices of the newest generation of each pool: a driver that rewrites a pool leaves old slices for a moment.
func newest(all []part) []accelerator.Device {
	type pool struct{ driver, name string }
	last := map[pool]int64{}
	for _, p := range all {
		key := pool{p.driver, p.pool}
		last[key] = max(last[key], p.generation)
	}
	var found []accelerator.Device
	for _, p := range all {
		if p.generation == last[pool{p.driver, p.pool}] {
			found = append(found, p.devices...)
		}
	}
	return found
}

func deviceOf(slice *resourcev1.ResourceSlice, d *resourcev1.Device) accelerator.Device {
	node := slice.Spec.NodeName
	if d.NodeName != nil {
		node = d.NodeName
	}
	made := accelerator.Device{Driver: slice.Spec.Driver, Pool: slice.Spec.Pool.Name, Name: d.Name}
	if node != nil {
		made.Node = *node
	}
	made.Broken = slices.ContainsFunc(d.Taints, func(t resourcev1.DeviceTaint) bool {
		return t.Effect == resourcev1.DeviceTaintEffectNoSchedule || t.Effect == resourcev1.DeviceTaintEffectNoExecute
	})
	return made
}

// Of returns the devices of a class; none where its selectors cannot be read.
func Of(ctx context.Context, class *resourcev1.DeviceClass, all []resourcev1.ResourceSlice) []accelerator.Device {
	c := newChooser()
	selectors, wrong := c.compile("spec.selectors", expressions(class))
	if wrong != "" {
		return nil
	}
	parts := make([]part, len(all))
	for i := range all {
		parts[i] = choose(ctx, &all[i], selectors)
	}
	return newest(parts)
}

// expressions are the selectors of a class.
func expressions(class *resourcev1.DeviceClass) []string {
	var found []string
	for _, s := range class.Spec.Selectors {
		if s.CEL != nil {
			found = append(found, s.CEL.Expression)
		}
	}
	return found
}
