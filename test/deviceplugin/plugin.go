// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// glance is how often files are looked at: those of unhealthy devices, and the kubelet's socket.
const glance = 100 * time.Millisecond

// plugin is the devices of one resource, and the gRPC service the kubelet asks about them.
type plugin struct {
	v1beta1.UnimplementedDevicePluginServer
	resource  string
	devices   []string
	variable  string // names a container's devices to it
	unhealthy string // directory, none if empty
	sockets   string // directory
}

// GetDevicePluginOptions says that the plugin has an opinion on which devices go together.
func (p plugin) GetDevicePluginOptions(context.Context, *v1beta1.Empty) (*v1beta1.DevicePluginOptions, error) {
	return p.options(), nil
}

func (plugin) options() *v1beta1.DevicePluginOptions {
	return &v1beta1.DevicePluginOptions{GetPreferredAllocationAvailable: true}
}

// ListAndWatch tells the devices and their health, again whenever the health of one changes.
func (p plugin) ListAndWatch(_ *v1beta1.Empty, stream v1beta1.DevicePlugin_ListAndWatchServer) error {
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	var told []string
	for first := true; ; first = false {
		sick := p.sick()
		if first || !slices.Equal(sick, told) {
			told = sick
			if err := stream.Send(&v1beta1.ListAndWatchResponse{Devices: p.list(sick)}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-ticks.C:
		}
	}
}

// sick are the devices that are unhealthy now.
func (p plugin) sick() []string {
	var found []string
	for _, device := range p.devices {
		if _, err := os.Stat(filepath.Join(p.unhealthy, device)); err == nil && p.unhealthy != "" {
			found = append(found, device)
		}
	}
	return found
}

func (p plugin) list(sick []string) []*v1beta1.Device {
	var list []*v1beta1.Device
	for _, device := range p.devices {
		health := v1beta1.Healthy
		if slices.Contains(sick, device) {
			health = v1beta1.Unhealthy
		}
		list = append(list, &v1beta1.Device{ID: device, Health: health})
	}
	return list
}

// Allocate answers what a container that gets devices needs: here, only to know which.
func (p plugin) Allocate(_ context.Context, request *v1beta1.AllocateRequest) (*v1beta1.AllocateResponse, error) {
	response := &v1beta1.AllocateResponse{}
	for _, container := range request.GetContainerRequests() {
		for _, device := range container.GetDevicesIds() {
			if !slices.Contains(p.devices, device) {
				return nil, fmt.Errorf("no device %q: have %s", device, strings.Join(p.devices, ", "))
			}
		}
		ids := slices.Sorted(slices.Values(container.GetDevicesIds()))
		response.ContainerResponses = append(response.ContainerResponses, &v1beta1.ContainerAllocateResponse{
			Envs: map[string]string{p.variable: strings.Join(ids, ",")},
		})
	}
	return response, nil
}

// GetPreferredAllocation prefers the devices that must be there, then the first of the rest: what a test gets is then known before.
func (p plugin) GetPreferredAllocation(
	_ context.Context, request *v1beta1.PreferredAllocationRequest,
) (*v1beta1.PreferredAllocationResponse, error) {
	response := &v1beta1.PreferredAllocationResponse{}
	for _, container := range request.GetContainerRequests() {
		chosen := slices.Clone(container.GetMustIncludeDeviceIDs())
		for _, device := range p.devices {
			free := slices.Contains(container.GetAvailableDeviceIDs(), device) && !slices.Contains(chosen, device)
			if free && len(chosen) < int(container.GetAllocationSize()) {
				chosen = append(chosen, device)
			}
		}
		response.ContainerResponses = append(response.ContainerResponses, &v1beta1.ContainerPreferredAllocationResponse{DeviceIDs: chosen})
	}
	return response, nil
}
