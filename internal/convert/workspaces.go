// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"fmt"
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

func workspaceOf(kind, version string) *workspace {
	i := slices.IndexFunc(workspaces, func(w workspace) bool { return w.kind == kind && slices.Contains(w.apiVersions, version) })
	if i < 0 {
		return nil
	}
	return &workspaces[i]
}

// workspace converts an object of such a kind; false for any other.
func (c Converter) workspace(object map[string]any) (Result, bool, error) {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	w := workspaceOf(kind, version)
	if w == nil {
		return Result{}, false, nil
	}
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
	members := c.members(name)
	put(made, "members", members)
	if len(members) == 0 {
		c.note("spec", "contributors are RoleBindings of their own: list them in spec.members")
	}
	c.note("metadata.name", "namespace %s is taken over only when the old Profile no longer controls it (delete that with --cascade=orphan) and its annotation %s names the owner", name, names.Adopt)
	c.note("spec", "pods must meet the Pod Security level baseline unless spec.namespace.podSecurity says otherwise")
	return made
}

// contributor are the roles of Kubeflow's contributors.
var contributor = map[string]v1alpha1.ProfileRole{"kubeflow-admin": v1alpha1.RoleAdmin, "kubeflow-edit": v1alpha1.RoleEditor, "kubeflow-view": v1alpha1.RoleViewer}

// strength orders the roles.
var strength = []string{string(v1alpha1.RoleViewer), string(v1alpha1.RoleEditor), string(v1alpha1.RoleAdmin)}

// contribution is what a RoleBinding gives to contributors of a namespace.
type contribution struct {
	name, namespace string
	members         []map[string]any
	// whole is true when there is nobody else in the RoleBinding, such as a service account of the namespace.
	whole bool
}

// contributionOf reads a RoleBinding; it has no members where that is of something else, or the owner's.
func contributionOf(o map[string]any) contribution {
	meta, _ := o["metadata"].(map[string]any)
	ref, _ := o["roleRef"].(map[string]any)
	role, known := contributor[number(ref["name"])]
	of := contribution{number(meta["name"]), number(meta["namespace"]), nil, true}
	if o["kind"] != "RoleBinding" || !known || of.name == "namespaceAdmin" {
		return of
	}
	for _, one := range items(o["subjects"]) {
		subject, _ := one.(map[string]any)
		if subject["kind"] == "ServiceAccount" && cmp.Or(subject["namespace"], any(of.namespace)) == of.namespace {
			of.whole = false
			continue
		}
		member := map[string]any{"role": string(role)}
		for _, key := range []string{"kind", "name", "namespace"} {
			put(member, key, cmp.Or(subject[key], any("")))
		}
		of.members = append(of.members, member)
	}
	return of
}

// absorbed is true of a RoleBinding that is nothing but members of a Profile that comes too.
func (c Converter) absorbed(o map[string]any) bool {
	of := contributionOf(o)
	return of.whole && len(of.members) > 0 && slices.ContainsFunc(c.objects, func(p map[string]any) bool {
		meta, _ := p["metadata"].(map[string]any)
		version, _ := p["apiVersion"].(string)
		return meta["name"] == of.namespace && p["kind"] == "Profile" && workspaceOf("Profile", version) != nil
	})
}

// members are the contributors of a namespace by the RoleBindings that come too, each once with the strongest role, but for the owner and the
// namespace's service accounts.
func (c *conversion) members(namespace string) []any {
	var list []any
	known := map[string]map[string]any{}
	for _, o := range c.beside {
		of := contributionOf(o)
		if of.namespace != namespace {
			continue
		}
		for _, m := range of.members {
			c.note("spec", "the subjects of the RoleBinding %s have become members: delete it, or keep in it only the namespace's service accounts", of.name)
			key := fmt.Sprint(m["kind"], "/", m["namespace"], "/", m["name"])
			if before := known[key]; before == nil {
				known[key], list = m, append(list, m)
			} else if slices.Index(strength, number(m["role"])) > slices.Index(strength, number(before["role"])) {
				before["role"] = m["role"]
			}
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
