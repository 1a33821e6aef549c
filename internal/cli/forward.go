// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
)

// forwarder forwards ports of this machine to a pod, over websockets. The ports
// are LOCAL:REMOTE, 0 for any; ready is told the local one. It ends with the context, which is no error, or when the connection is lost.
func forwarder(config *rest.Config, pods *typedcorev1.CoreV1Client) func(context.Context, *corev1.Pod, string, func(int)) error {
	return func(ctx context.Context, pod *corev1.Pod, ports string, ready func(int)) error {
		to := pods.RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
		dialer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, config)
		if err != nil {
			return fmt.Errorf("forwarding %s: %w", ports, err)
		}
		up := make(chan struct{})
		f, err := portforward.NewForStreaming(dialer, []string{ports}, ctx.Done(), up, io.Discard, io.Discard)
		if err != nil {
			return fmt.Errorf("forwarding %s: %w", ports, err)
		}
		ended := make(chan error, 1)
		go func() { ended <- f.ForwardPorts() }()
		select {
		case err := <-ended:
			return err
		case <-up:
		}
		got, err := f.GetPorts()
		if err != nil {
			return fmt.Errorf("forwarding %s: %w", ports, err)
		}
		ready(int(got[0].Local))
		if err := <-ended; ctx.Err() == nil {
			return fmt.Errorf("the connection is lost: %w", err)
		}
		return nil
	}
}
