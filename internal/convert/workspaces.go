// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// workspace is what there is to know about a kind that is no job: its spec is written anew, field by field.
type workspace struct {
	kind        string
	apiVersions []string
	// spec writes the new spec.
	spec func(c *conversion, spec *fields) map[string]any
}

// workspaces is the table of kinds that are no jobs. Each becomes a kind of the same name.
var workspaces = []workspace{
	{"Profile", []string{v1, "kubeflow.org/v1beta1", "kubeflow.org/v1alpha1"}, profileSpec},
	{"Notebook", []string{v1, "kubeflow.org/v1beta1", "kubeflow.org/v1alpha1"}, notebookSpec},
	{"PodDefault", []string{"kubeflow.org/v1alpha1"}, podDefaultSpec},
}

// workspace converts an object of such a kind; false for any other.
func (c Converter) workspace(object map[string]any) (Result, bool, error) {
	version, _ := object["apiVersion"].(string)
	i := slices.IndexFunc(workspaces, func(w workspace) bool {
		return w.kind == object["kind"] && slices.Contains(w.apiVersions, version)
	})
	if i < 0 {
		return Result{}, false, nil
	}
	w := workspaces[i]
	log := &log{target: w.kind}
	run := &conversion{log: log, top: log.open("", runtime.DeepCopyJSON(object)), beside: c.objects}
	run.top.drop("apiVersion", "kind", "status")
	run.meta()
	given := run.top.object("spec")
	if !given.given {
		run.fail("spec", "Required value")
	}
	content := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": w.kind, "metadata": run.metadata, "spec": w.spec(run, given),
	}
	if log.fault != nil {
		return Result{}, true, log.fault
	}
	log.leftovers()
	return Result{Objects: []map[string]any{content}, Remarks: log.sorted()}, true, nil
}

// carry takes fields that have the same meaning, some under another name.
func carry(from *fields, into map[string]any, same map[string]string) {
	for _, theirs := range keys(from.left) {
		if ours, known := same[theirs]; known && from.has(theirs) {
			into[ours] = from.take(theirs)
		}
	}
}

// plugins are the plug-ins of a Profile by the cloud they are for, with the field that names the identity.
var plugins = map[string]struct {
	cloud v1alpha1.Cloud
	field string
}{
	"WorkloadIdentity":        {v1alpha1.GoogleCloud, "gcpServiceAccount"},
	"AwsIamForServiceAccount": {v1alpha1.AWS, "awsIamRole"},
}

func profileSpec(c *conversion, spec *fields) map[string]any {
	owner := map[string]any{}
	of := spec.object("owner")
	if !of.given {
		c.fail("spec.owner", "Required value")
	}
	of.drop("apiGroup")
	carry(of, owner, map[string]string{"kind": "kind", "name": "name", "namespace": "namespace"})
	made := map[string]any{"owner": owner}
	carry(spec, made, map[string]string{"resourceQuotaSpec": "resourceQuota"})
	if quota, ok := made["resourceQuota"].(map[string]any); ok && len(quota) == 0 {
		delete(made, "resourceQuota")
	}
	var identities []any
	for _, p := range spec.objects("plugins") {
		if id := plugin(p); id != nil {
			identities = append(identities, id)
		}
	}
	if identities != nil {
		made["identities"] = identities
	}
	name := c.name()
	put(made, "members", c.members(name))
	c.note("metadata.name", "namespace %s is taken over only when the old Profile no longer controls it (delete that with --cascade=orphan) and its annotation %s names the owner", name, names.Adopt)
	c.note("spec", "contributors are RoleBindings of their own: list them in spec.members; pods must meet the Pod Security level baseline unless spec.namespace.podSecurity says otherwise")
	return made
}

// contributor are the roles of Kubeflow's contributors.
var contributor = map[string]v1alpha1.ProfileRole{"kubeflow-admin": v1alpha1.RoleAdmin, "kubeflow-edit": v1alpha1.RoleEditor, "kubeflow-view": v1alpha1.RoleViewer}

// members are the contributors of a namespace by the RoleBindings that come too, but for the owner and the namespace's service accounts.
func (c *conversion) members(namespace string) []any {
	var list []any
	for _, o := range c.beside {
		meta, _ := o["metadata"].(map[string]any)
		ref, _ := o["roleRef"].(map[string]any)
		role, known := contributor[number(ref["name"])]
		if o["kind"] != "RoleBinding" || meta["namespace"] != namespace || !known || meta["name"] == "namespaceAdmin" {
			continue
		}
		for _, one := range items(o["subjects"]) {
			subject, _ := one.(map[string]any)
			if subject["kind"] == "ServiceAccount" && cmp.Or(subject["namespace"], any(namespace)) == namespace {
				continue
			}
			member := map[string]any{"role": string(role)}
			for _, key := range []string{"kind", "name", "namespace"} {
				put(member, key, cmp.Or(subject[key], any("")))
			}
			c.note("spec", "the RoleBinding %s has become a member: delete it", meta["name"])
			list = append(list, member)
		}
	}
	return list
}

// plugin is the identity that a plug-in gives to default-editor.
func plugin(p *fields) map[string]any {
	row, known := plugins[p.text("kind")]
	spec := p.object("spec")
	identity := spec.text(row.field)
	if !known || identity == "" {
		p.lost(p.path, "spec.identities knows GoogleCloud, AWS and Azure")
		spec.left = nil
		return nil
	}
	if !spec.flag("annotateOnly") {
		p.note(p.path, "Millrace annotates the service account only: the cloud must be told to trust it")
	}
	p.drop("apiVersion")
	return map[string]any{"cloud": string(row.cloud), "identity": identity}
}

// sameInPodDefault are the fields of a PodDefault that mean the same.
var sameInPodDefault = map[string]string{
	"selector": "selector", "desc": "description", "env": "env", "envFrom": "envFrom", "volumes": "volumes", "volumeMounts": "volumeMounts",
	"tolerations": "tolerations", "labels": "labels", "annotations": "annotations", "serviceAccountName": "serviceAccountName",
	"imagePullSecrets": "imagePullSecrets", "initContainers": "initContainers", "sidecars": "sidecars",
}

func podDefaultSpec(c *conversion, spec *fields) map[string]any {
	made := map[string]any{"conflictPolicy": string(v1alpha1.ConflictFail)}
	if spec.has("sidecars") {
		c.note("spec.sidecars", "they become init containers that are restarted always, and end with the pod")
	}
	for key, value := range spec.left {
		if content, ok := value.(map[string]any); key != "selector" && (ok && len(content) == 0 || value == "") {
			spec.drop(key)
		} else if list, ok := value.([]any); ok && len(list) == 0 {
			spec.drop(key)
		}
	}
	carry(spec, made, sameInPodDefault)
	c.spell(made, "spec")
	if made["selector"] == nil {
		c.fail("spec.selector", "Required value")
	}
	spec.lose("automountServiceAccountToken", "set it in the template of the workload")
	spec.lose("command", "set it in the template of the workload")
	spec.lose("args", "set them in the template of the workload")
	c.note("spec.selector", "other pods than Millrace's get it only with the label %s: \"true\" and where the component poddefault-admission is installed", names.PodDefaults)
	return made
}
