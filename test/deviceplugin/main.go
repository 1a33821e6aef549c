// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command deviceplugin gives a node simulated devices through the kubelet's own device plugin API, so that requests,
// scheduling, allocation and health are what they are with real ones:
//
//	deviceplugin -count 4 -resource nvidia.com/gpu -unhealthy DIR
//
// A container that gets devices finds their names in an environment variable, as those of NVIDIA do. A file in DIR that
// is named like a device makes it unhealthy for as long as the file is there.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func main() {
	p := plugin{}
	flag.StringVar(&p.resource, "resource", "nvidia.com/gpu", "name of the extended resource")
	count := flag.Int("count", 1, "number of devices")
	flag.StringVar(&p.variable, "env", "NVIDIA_VISIBLE_DEVICES", "variable that names a container's devices to it")
	flag.StringVar(&p.unhealthy, "unhealthy", "", "directory whose files are named like the devices that are unhealthy")
	flag.StringVar(&p.sockets, "sockets", v1beta1.DevicePluginPath, "directory of the kubelet's socket")
	flag.Parse()
	for i := range *count {
		p.devices = append(p.devices, fmt.Sprintf("gpu-%d", i))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := p.run(ctx)
	stop()
	if err != nil {
		log.Fatalln("deviceplugin:", err)
	}
}
