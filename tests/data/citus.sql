-- What remit uses of Citus, on one server: a distributed table is in four parts by its column.
CREATE TABLE pg_dist_partition (logicalrelid regclass NOT NULL);
CREATE TABLE pg_dist_node (groupid int NOT NULL, shouldhaveshards bool NOT NULL, noderole text NOT NULL);
INSERT INTO pg_dist_node VALUES (0, false, 'primary'), (1, true, 'primary'), (2, true, 'primary');
-- The transactions that the coordinator committed, and those that a worker has not committed yet.
CREATE TABLE pg_dist_transaction (gid text NOT NULL, outer_xid xid8 NOT NULL);
CREATE TABLE prepared_on_worker (gid text NOT NULL);

CREATE FUNCTION run_command_on_workers(command text)
RETURNS TABLE (nodename text, nodeport int, success bool, result text) LANGUAGE sql AS
$$ SELECT 'worker', 5432, true, string_agg(gid, ',') FROM prepared_on_worker $$;

CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE sql AS '';

CREATE FUNCTION divide(name text, distribution_column text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)',
    name || '_new', name, distribution_column);
  EXECUTE format('DROP TABLE %I', name);
  EXECUTE format('ALTER TABLE %I RENAME TO %I', name || '_new', name);
  EXECUTE format('ALTER SEQUENCE IF EXISTS %I RENAME TO %I', name || '_new_ref_seq',
    name || '_ref_seq');
  FOR number IN 0..3 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 4, REMAINDER %s)',
      name || '_shard' || number, name, number);
  END LOOP;
END $$;

CREATE FUNCTION get_shard_id_for_distribution_column(table_name regclass, value smallint)
RETURNS bigint LANGUAGE sql AS
$$ SELECT n FROM generate_series(0, 3) AS n WHERE satisfies_hash_partition(table_name, 4, n, value) $$;

CREATE FUNCTION create_distributed_table(
  table_name regclass, distribution_column text, colocate_with text, shard_count int DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  name text := table_name::text;
  part record;
BEGIN
  IF (SELECT relkind = 'p' FROM pg_class WHERE oid = table_name) THEN
    FOR part IN
      SELECT relname AS name, pg_get_expr(relpartbound, oid) AS bound
      FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = table_name
    LOOP
      EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', name, part.name);
      PERFORM divide(part.name, distribution_column);
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I %s', name, part.name, part.bound);
    END LOOP;
  ELSE
    PERFORM divide(name, distribution_column);
  END IF;
  INSERT INTO pg_dist_partition VALUES (name::regclass);
END $$;
