// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// run serves one kubelet after the other until the context ends: a kubelet that starts removes all sockets, and forgets who had
// registered.
func (p plugin) run(ctx context.Context) error {
	for ctx.Err() == nil {
		kubelet, err := os.Stat(p.kubelet())
		if errors.Is(err, fs.ErrNotExist) {
			rest(ctx) // none runs yet
			continue
		}
		if err != nil {
			return err
		}
		if err := p.serve(ctx, kubelet); err != nil {
			log.Println("serving the kubelet:", err)
			rest(ctx)
		}
	}
	return nil
}

func (p plugin) kubelet() string {
	return filepath.Join(p.sockets, filepath.Base(v1beta1.KubeletSocket))
}

// socket of the plugin, named for its resource.
func (p plugin) socket() string {
	return filepath.Join(p.sockets, strings.ReplaceAll(p.resource, "/", "-")+".sock")
}

// serve offers the devices to the kubelet whose socket this is, until another takes its place.
func (p plugin) serve(ctx context.Context, kubelet fs.FileInfo) error {
	if err := os.Remove(p.socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", p.socket())
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	v1beta1.RegisterDevicePluginServer(server, p)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	defer server.Stop()
	if err := p.register(ctx); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	log.Printf("%d devices of %s are registered", len(p.devices), p.resource)
	for p.serves(kubelet) {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-time.After(glance):
		}
	}
	return nil
}

// serves is true while the kubelet is the one that was registered with, and can reach the plugin.
func (p plugin) serves(kubelet fs.FileInfo) bool {
	now, err := os.Stat(p.kubelet())
	if err != nil || !os.SameFile(now, kubelet) || !now.ModTime().Equal(kubelet.ModTime()) {
		return false
	}
	_, err = os.Stat(p.socket())
	return err == nil
}

func (p plugin) register(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+p.kubelet(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }() // the answer was read
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = v1beta1.NewRegistrationClient(connection).Register(ctx, &v1beta1.RegisterRequest{
		Version: v1beta1.Version, Endpoint: filepath.Base(p.socket()), ResourceName: p.resource, Options: p.options(),
	})
	return err
}

// rest waits for a moment, or until the context ends.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(glance):
	}
}
