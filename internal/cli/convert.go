// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/internal/convert"
	"github.com/millrace-ml/millrace/internal/offline"
)

// conversion turns jobs of the Kubeflow training operators into TrainingJobs.
type conversion struct {
	*Program
	source
	strict bool
	format manifestFormat
}

func newConvert(p *Program) *cobra.Command {
	cmd := &conversion{Program: p, format: manifestFormat{asYAML}, source: source{deep: true}}
	c := &cobra.Command{
		Use:   "convert -f FILE|DIRECTORY|-",
		Short: "Turn manifests of Kubeflow, or a JupyterHub's profiles, into Millrace's",
		Long: `Turn manifests of Kubeflow, or a JupyterHub's profiles, into Millrace's, without a cluster.

Converted are PyTorchJob, TFJob, MXJob, XGBoostJob, JAXJob, ChainerJob, MPIJob (v1 and v2beta1) and
TrainJob with a runtime for torch or MPI; Experiment, Profile, PodDefault and Notebook of Kubeflow keep
their kind. Values of JupyterHub's Helm chart, or its spawner's profile_list, become Notebooks. Every
other object is written as it is, in its place.
Directories are read with those below.

What a TrainingJob cannot take over is a comment above it that names the field of the original and
what to do: "# not carried over: FIELD: WHY". What it does in another way is a comment "# note: ...".
With --strict, anything not carried over is listed on standard error and the exit code is 1; the
output is the same.

A manifest that cannot be read or converted is told with its file and line, does not keep the rest
from being converted, and makes the exit code 1.`,
		Example: `  mill convert -f pytorchjob.yaml
  mill convert -f manifests/ --strict > millrace.yaml
  kubectl get pytorchjobs -o yaml | mill convert -f - | mill plan -f -
  helm get values hub -o yaml | mill convert -f - > notebooks.yaml`,
		Args: onlyFiles,
		RunE: func(*cobra.Command, []string) error { return cmd.run() },
	}
	cmd.addFiles(c)
	c.Flags().BoolVar(&cmd.strict, "strict", false, "fail when something cannot be carried over")
	c.Flags().VarP(&cmd.format, "output", "o", "output format")
	complete(c, "output", manifestFormats...)
	return c
}

func (c *conversion) run() error {
	if len(c.files) == 0 {
		return usagef("nothing to convert: name manifests with -f")
	}
	documents, err := c.read(c.In)
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return fmt.Errorf("no object in %s", strings.Join(c.files, ", "))
	}
	work, err := converting(documents)
	if err != nil {
		return err
	}
	for _, p := range work.problems {
		fmt.Fprintln(c.Err, p)
	}
	// JSON has no comments.
	if c.strict || c.format.format == asJSON {
		for _, p := range work.lost {
			fmt.Fprintln(c.Err, p)
		}
	}
	if err := c.write(work.documents); err != nil {
		return err
	}
	if len(work.problems) > 0 || c.strict && len(work.lost) > 0 {
		return exit{code: ExitError}
	}
	return nil
}

func (c *conversion) write(documents []convert.Document) error {
	if len(documents) == 0 {
		return nil
	}
	if c.format.format == asJSON {
		objects := make([]runtime.Object, len(documents))
		for i, d := range documents {
			objects[i] = &unstructured.Unstructured{Object: d.Content}
		}
		return writeObjects(c.Out, asJSON, objects)
	}
	text, err := convert.Write(documents)
	if err != nil {
		return err
	}
	_, err = c.Out.Write(text)
	return err
}

// converted is what has become of manifests.
type converted struct {
	documents []convert.Document
	problems  []offline.Problem
	lost      []offline.Problem
}

// converting converts documents in their order. They are all read first: a TrainJob may stand before its runtime.
func converting(documents []offline.Document) (converted, error) {
	var work converted
	objects := make([][]offline.Object, len(documents))
	var all []map[string]any
	for i, d := range documents {
		d.Complete = convert.Complete
		found, problems := d.Objects()
		work.problems = append(work.problems, problems...)
		objects[i] = found
		for _, o := range found {
			all = append(all, o.Object)
		}
	}
	converter, err := convert.New(all)
	if err != nil {
		return work, err
	}
	for i, d := range documents {
		for _, o := range objects[i] {
			work.add(converter, o, verbatim(d, objects[i]))
		}
	}
	return work, nil
}

// verbatim is the text of a document that holds one object in YAML, so that it keeps its comments.
func verbatim(d offline.Document, objects []offline.Object) []byte {
	text := bytes.TrimSpace(d.Text)
	if len(objects) != 1 || strings.HasSuffix(objects[0].GetKind(), "List") || bytes.HasPrefix(text, []byte("{")) {
		return nil
	}
	return text
}

func (w *converted) add(converter convert.Converter, o offline.Object, text []byte) {
	result, err := converter.Convert(o.Object)
	if fault := (*convert.Fault)(nil); errors.As(err, &fault) {
		w.problems = append(w.problems, o.Problem(fault.Path, fault.Error()))
		return
	}
	if err != nil {
		w.problems = append(w.problems, o.Problem("", err.Error()))
		return
	}
	for _, r := range result.Remarks {
		if r.Lost {
			w.lost = append(w.lost, o.Problem(r.Path, r.String()))
		}
	}
	if result.Absorbed {
		return
	}
	if len(result.Objects) == 0 {
		w.documents = append(w.documents, convert.Document{Remarks: result.Remarks, Content: o.Object, Text: text})
		return
	}
	for i, content := range result.Objects {
		d := convert.Document{Content: content}
		if i == 0 {
			d.Remarks = result.Remarks
		}
		w.documents = append(w.documents, d)
	}
}

// manifestFormat is the format of manifests, which have no table.
type manifestFormat struct{ format }

var manifestFormats = []string{string(asYAML), string(asJSON)}

func (f *manifestFormat) Type() string { return strings.Join(manifestFormats, "|") }

// Set refuses what is no format of manifests.
func (f *manifestFormat) Set(value string) error {
	if value == string(asTable) {
		return fmt.Errorf("must be one of %s", strings.Join(manifestFormats, ", "))
	}
	return f.format.Set(value)
}
