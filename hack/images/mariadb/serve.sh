# Serves the database and the user millrace, with the password in PASSWORD; makes what is not there.
set -eu
data=/var/lib/mysql/data
[ -d "$data/mysql" ] || mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --datadir="$data" >/dev/null
cat >/tmp/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS millrace;
CREATE USER IF NOT EXISTS millrace@'%' IDENTIFIED BY '$PASSWORD';
GRANT ALL ON millrace.* TO millrace@'%';
SQL
exec mariadbd --no-defaults --datadir="$data" --bind-address=0.0.0.0 --skip-name-resolve --init-file=/tmp/init.sql \
  --socket=/tmp/mysql --pid-file=/tmp/pid --innodb-buffer-pool-size=32M --performance-schema=OFF
