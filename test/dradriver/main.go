// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command dradriver gives a node simulated GPUs that pods claim, through dynamic resource allocation: it publishes them in a
// ResourceSlice, prepares claims for the kubelet, and tells the health of devices.
//
//	dradriver -kubeconfig FILE -node NAME -count 2 -kubelet DIR -cdi DIR -unhealthy DIR
//
// A container finds a variable GPU_DEVICE_0=gpu-0 for each device it was given. A file in the directory of -unhealthy that is
// named like a device makes it unhealthy for as long as the file is there.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
)

func main() {
	d := &driver{}
	kubeconfig := flag.String("kubeconfig", "", "file with the access to the cluster")
	flag.StringVar(&d.node, "node", "", "name of the node")
	flag.StringVar(&d.name, "driver", "gpu.millrace.dev", "name of the driver")
	flag.IntVar(&d.count, "count", 1, "number of devices")
	flag.StringVar(&d.unhealthy, "unhealthy", "", "directory whose files are named like the devices that are unhealthy")
	flag.StringVar(&d.cdi, "cdi", "/var/run/cdi", "directory the container runtime reads device descriptions from")
	kubelet := flag.String("kubelet", "/var/lib/kubelet", "root directory of the kubelet")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, d, *kubeconfig, *kubelet)
	stop()
	if err != nil {
		log.Fatalln("dradriver:", err)
	}
}

func run(ctx context.Context, d *driver, kubeconfig, kubelet string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading -kubeconfig: %w", err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	registry, data := filepath.Join(kubelet, "plugins_registry"), filepath.Join(kubelet, "plugins", d.name)
	for _, dir := range []string{registry, data, d.cdi} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
	}
	if err := d.describe(); err != nil {
		return err
	}
	helper, err := kubeletplugin.Start(ctx, d,
		kubeletplugin.DriverName(d.name), kubeletplugin.KubeClient(clients), kubeletplugin.NodeName(d.node),
		kubeletplugin.RegistrarDirectoryPath(registry), kubeletplugin.PluginDataDirectoryPath(data))
	if err != nil {
		return fmt.Errorf("starting the plugin: %w", err)
	}
	defer helper.Stop()
	return d.publish(ctx, helper)
}
