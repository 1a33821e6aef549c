// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// Keys of the Secret with a job's ssh keys, and of what is beside them.
const (
	sshPrivateKey = corev1.SSHAuthPrivateKey
	sshPublicKey  = "ssh-publickey"
	sshConfig     = "ssh-config"

	sshVolume    = "millrace-ssh"
	configVolume = "millrace-mpi"
)

// sshd is what pods run that are launched on over ssh, where their template names no command.
var sshd = []string{"/usr/sbin/sshd", "-De"}

// remote plans what a launcher needs to start processes on the other pods: keys, made once for the job, and its files. The
// files are written when the launcher is due, and not for each worker that comes up before.
func (s *state) remote(plan *engine.Plan) {
	if s.layout.Remote() == nil {
		return
	}
	plan.Create = append(plan.Create, engine.Step{Object: keys(s.layout)})
	i := slices.IndexFunc(s.replicas, func(r replica) bool { return r.Launches() })
	if i >= 0 && (s.replicas[i].pod != nil || !s.awaitsWorkers(s.replicas[i])) {
		up, next := s.up()
		plan.Apply, plan.Again = append(plan.Apply, files(s.layout, up)), engine.Soonest(plan.Again, next)
	}
}

// awaitsWorkers is true for a launcher to be made that waits for pods it launches on.
func (s *state) awaitsWorkers(r replica) bool {
	if !r.Launches() || !s.layout.Remote().Waits(s.job) {
		return false
	}
	return !s.workersReady()
}

// workersReady is true when everything a launcher launches on can be reached, or has ended well.
func (s *state) workersReady() bool {
	return !slices.ContainsFunc(s.replicas, func(r replica) bool { return !r.Launches() && !r.ready() && !r.succeeded() })
}

// pace is how long pods that come up one by one are gathered before they are told of: a job of N pods must not cost N writes.
const pace = 10 * time.Second

// up tells of members whether the launcher is told of them: at once when all can be reached, otherwise at the next full ten
// seconds after their start. Those that are down are left out at once. It also returns when to look again.
func (s *state) up() (told func(framework.Member) bool, next time.Duration) {
	all := s.workersReady()
	up := map[string]bool{}
	for _, r := range s.replicas {
		if !r.running() {
			continue
		}
		wait := time.Duration(0)
		if run := r.main().State.Running; run != nil && !all && !s.ranWith(run.StartedAt) {
			wait = run.StartedAt.Truncate(pace).Add(pace).Sub(s.now)
		}
		up[r.Name()] = wait <= 0
		next = engine.Soonest(next, wait)
	}
	return func(m framework.Member) bool { return up[m.Name()] }, next
}

// ranWith is true of a pod that was there when all ran: the launcher was told of it, and must not be told otherwise.
func (s *state) ranWith(started metav1.Time) bool {
	return s.job.Status.RunningTime != nil && !started.After(s.job.Status.RunningTime.Time)
}

// keys is the Secret with the ssh keys of a job, without the keys: they are random, and are put in when it is made.
func keys(l *framework.Layout) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: names.Keys(l.Job.Name), Namespace: l.Job.Namespace, Labels: ownLabels(l.Job)},
		Type:       corev1.SecretTypeSSHAuth,
		Immutable:  new(true),
	}
}

// files is the ConfigMap with the hostfile and the script that tells which hosts are up.
func files(l *framework.Layout, up func(framework.Member) bool) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.Config(l.Job.Name), Namespace: l.Job.Namespace, Labels: ownLabels(l.Job)},
		Data:       map[string]string{framework.HostfileName: l.Hostfile(), framework.DiscoveryName: l.Discovery(up)},
	}
}

// connect gives a pod its part in a job that is launched over ssh: the keys, the files in the launcher, and in the others an
// ssh server where the template names no command.
func connect(p *corev1.PodSpec, m framework.Member) {
	if m.Remote() == nil {
		return
	}
	main := &p.Containers[m.Role.Main]
	podspec.Mount(p, m.Role.Main, keyVolume(m), m.KeyPath())
	if m.Launches() {
		podspec.Mount(p, m.Role.Main, fileVolume(m), framework.ConfigPath)
		alias(p, m)
	} else if len(main.Command) == 0 && len(main.Args) == 0 {
		main.Command = slices.Clone(sshd)
	}
	// MPICH and Intel MPI hand the workers the launcher's host name without its domain.
	if p.DNSConfig == nil {
		p.DNSConfig = &corev1.PodDNSConfig{Searches: []string{m.Job.Name + "." + m.Job.Namespace + ".svc.cluster.local"}}
	}
}

// alias lets a launcher that computes too find itself by the name that is in its hostfile. The name is in the cluster's DNS only a
// moment after the launcher has started, and by then mpirun would have failed over it.
func alias(p *corev1.PodSpec, m framework.Member) {
	if m.Listed() {
		p.HostAliases = append(p.HostAliases, corev1.HostAlias{IP: "127.0.0.1", Hostnames: []string{m.Host(m.Role, m.Index)}})
	}
}

// keyVolume has the keys under the names that ssh and sshd look for. Where root uses them they are closed to everybody
// else, as ssh demands of keys that belong to the user; a user who is not root must be able to read what belongs to root.
func keyVolume(m framework.Member) corev1.Volume {
	mode := int32(0o644)
	if m.RootKeys() {
		mode = 0o600
	}
	return corev1.Volume{Name: sshVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: names.Keys(m.Job.Name), DefaultMode: &mode,
		Items: []corev1.KeyToPath{
			{Key: sshPrivateKey, Path: "id_rsa"},
			{Key: sshPublicKey, Path: "id_rsa.pub"},
			{Key: sshPublicKey, Path: "authorized_keys"},
			{Key: sshConfig, Path: "config"},
		},
	}}}
}

func fileVolume(m framework.Member) corev1.Volume {
	return corev1.Volume{Name: configVolume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: names.Config(m.Job.Name)},
		Items: []corev1.KeyToPath{
			{Key: framework.HostfileName, Path: framework.HostfileName, Mode: new(int32(0o444))},
			{Key: framework.DiscoveryName, Path: framework.DiscoveryName, Mode: new(int32(0o555))},
		},
	}}}
}
