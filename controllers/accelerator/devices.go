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

// choose returns the devices that meet all selectors.
func (c chooser) choose(ctx context.Context, slicesOf []resourcev1.ResourceSlice, selectors []cel.CompilationResult) []accelerator.Device {
	var chosen []accelerator.Device
	for _, slice := range newest(slicesOf) {
		for i := range slice.Spec.Devices {
			d := &slice.Spec.Devices[i]
			if meets(ctx, slice.Spec.Driver, d, selectors) {
				chosen = append(chosen, deviceOf(slice, d))
			}
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

// newest are the slices of the newest generation of each pool: a driver that rewrites a pool leaves old ones for a moment.
func newest(all []resourcev1.ResourceSlice) []*resourcev1.ResourceSlice {
	type pool struct{ driver, name string }
	last := map[pool]int64{}
	for i := range all {
		s := &all[i].Spec
		key := pool{s.Driver, s.Pool.Name}
		last[key] = max(last[key], s.Pool.Generation)
	}
	var found []*resourcev1.ResourceSlice
	for i := range all {
		s := &all[i].Spec
		if s.Pool.Generation == last[pool{s.Driver, s.Pool.Name}] {
			found = append(found, &all[i])
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
	return c.choose(ctx, all, selectors)
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
