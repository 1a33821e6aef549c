// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/internal/cli"
)

// TestInvalidSpecs converts and plans what the originals find invalid: by a webhook, by the condition "the spec is invalid", or
// by an event. It is refused, and the field is named.
func TestInvalidSpecs(t *testing.T) {
	cases := map[string]struct {
		manifest string
		// want is in the message.
		want string
	}{
		"TFJob without replica specs": {
			"apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: j}\nspec: {}\n", "spec.tfReplicaSpecs",
		},
		"TFJob without a template": {
			"apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: j}\nspec: {tfReplicaSpecs: {Worker: {replicas: 1}}}\n", "spec.tfReplicaSpecs.Worker.template",
		},
		"TFJob without an image": {
			strings.ReplaceAll(manifest("TFJob", "Worker 2 Never", ""), `, image: "test-server:1"`, ""), "image",
		},
		"TFJob without containers": {
			strings.ReplaceAll(manifest("TFJob", "Worker 2 Never", ""), `{name: tensorflow, image: "test-server:1"}`, ""), "containers",
		},
		"TFJob with a Chief and a Master": {manifest("TFJob", "Chief, Master, Worker 2", ""), "Chief"},
		"TFJob whose name no Service may have": {
			strings.ReplaceAll(manifest("TFJob", "Worker 2 Never", ""), "name: j}", "name: 0j}"), "metadata.name",
		},
		"TFJob of parameter servers only": {manifest("TFJob", "PS 2", ""), "no role decides"},
		"PyTorchJob with two Masters":     {manifest("PyTorchJob", "Master 2, Worker 1", ""), "Master"},
		"PyTorchJob with elasticPolicy and no Worker": {
			manifest("PyTorchJob", "Master", "elasticPolicy: {minReplicas: 1}"), "Worker",
		},
		"XGBoostJob without a Master":             {manifest("XGBoostJob", "Worker 2", ""), "Master"},
		"JAXJob without a Worker":                 {manifest("JAXJob", "Master", ""), "spec.jaxReplicaSpecs"},
		"MPIJob without a Launcher":               {manifest("MPIJob", "Worker 2", ""), "Launcher"},
		"MPIJob with two Launchers":               {manifest("MPIJob v2beta1", "Launcher 2, Worker 2", ""), "Launcher"},
		"MPIJob with negative slots":              {manifest("MPIJob v2beta1", "Launcher, Worker 2", "slotsPerWorker: -1"), "slotsPerWorker"},
		"MPIJob with a negative backoffLimit":     {manifest("MPIJob v2beta1", "Launcher, Worker 2", "runPolicy: {backoffLimit: -1}"), "restarts.max"},
		"MPIJob managed by somebody nobody knows": {manifest("MPIJob v2beta1", "Launcher, Worker 2", "runPolicy: {managedBy: nobody}"), "managedBy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			converted, code, errs := try(t, c.manifest, "convert")
			if code == cli.ExitOK {
				_, code, errs = try(t, converted, "plan")
			}
			if code == cli.ExitOK {
				t.Fatal("it is planned")
			}
			if !strings.Contains(errs, c.want) {
				t.Errorf("want a message about %s, got %s", c.want, errs)
			}
		})
	}
}

// TestMainContainer: the originals refuse a template without a container of the framework's name. Here the first one is meant.
func TestMainContainer(t *testing.T) {
	l := begin(t, strings.ReplaceAll(manifest("TFJob", "Worker 1 Never", ""), "name: tensorflow", "name: main"))
	if l.happen("worker-0 0"); l.job.Status.Phase != "Succeeded" {
		t.Errorf("the job is %s", l.job.Status.Phase)
	}
}

// try runs a subcommand on a manifest that may be refused.
func try(t *testing.T, manifest, command string) (out string, code int, errs string) {
	t.Helper()
	var written, said bytes.Buffer
	program := cli.Program{
		Name: "mill", In: strings.NewReader(manifest), Out: &written, Err: &said, Getenv: func(string) string { return "" },
		Width: func(io.Writer) int { return 0 }, Now: time.Now,
	}
	code = program.Run(t.Context(), []string{command, "-f", "-"})
	return written.String(), code, said.String()
}
