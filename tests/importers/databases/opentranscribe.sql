--
-- PostgreSQL database dump
--

\restrict zXk9Oxf6pRWWZ6oopWD8yixUybXNuDwFSjiraOwTU2tJ6GLPV82tbMTL2PmBCys

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.alembic_version (
    version_num character varying(128) NOT NULL
);

CREATE TABLE public.analytics (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer,
    overall_analytics jsonb,
    computed_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    version character varying(50)
);

CREATE TABLE public.auth_config (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    config_key character varying(100) NOT NULL,
    config_value text,
    is_sensitive boolean DEFAULT false,
    category character varying(50) NOT NULL,
    data_type character varying(20) DEFAULT 'string'::character varying,
    description text,
    requires_restart boolean DEFAULT false,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    created_by integer,
    updated_by integer
);

CREATE TABLE public.auth_config_audit (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    config_key character varying(100) NOT NULL,
    old_value text,
    new_value text,
    changed_by integer NOT NULL,
    change_type character varying(20) NOT NULL,
    ip_address character varying(45),
    user_agent character varying(512),
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.collection (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    user_id integer NOT NULL,
    is_public boolean DEFAULT false,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    default_summary_prompt_id integer,
    source character varying(50)
);

CREATE TABLE public.collection_member (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    collection_id integer NOT NULL,
    media_file_id integer NOT NULL,
    added_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    source character varying(50),
    ai_confidence double precision
);

CREATE TABLE public.collection_share (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    collection_id integer NOT NULL,
    shared_by_id integer NOT NULL,
    target_type character varying(20) NOT NULL,
    target_user_id integer,
    target_group_id integer,
    permission character varying(20) DEFAULT 'viewer'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    CONSTRAINT _collection_share_permission_check CHECK (((permission)::text = ANY ((ARRAY['viewer'::character varying, 'editor'::character varying])::text[]))),
    CONSTRAINT _collection_share_target_check CHECK ((((target_user_id IS NOT NULL) AND (target_group_id IS NULL)) OR ((target_user_id IS NULL) AND (target_group_id IS NOT NULL)))),
    CONSTRAINT _collection_share_target_type_check CHECK (((target_type)::text = ANY ((ARRAY['user'::character varying, 'group'::character varying])::text[])))
);

CREATE TABLE public.comment (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer NOT NULL,
    user_id integer NOT NULL,
    text text NOT NULL,
    "timestamp" double precision,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.custom_vocabulary (
    id integer NOT NULL,
    user_id integer,
    term character varying(200) NOT NULL,
    domain character varying(50) DEFAULT 'general'::character varying NOT NULL,
    category character varying(100),
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.file_pipeline_timing (
    task_id character varying(64) NOT NULL,
    file_id integer NOT NULL,
    user_id integer,
    client_hash_start_ms bigint,
    client_hash_end_ms bigint,
    client_put_start_ms bigint,
    client_put_end_ms bigint,
    http_request_received_ms bigint,
    http_read_complete_ms bigint,
    http_validation_end_ms bigint,
    minio_put_start_ms bigint,
    minio_put_end_ms bigint,
    thumbnail_start_ms bigint,
    thumbnail_end_ms bigint,
    db_commit_start_ms bigint,
    db_commit_end_ms bigint,
    http_response_end_ms bigint,
    dispatch_timestamp_ms bigint,
    preprocess_task_prerun_ms bigint,
    media_download_start_ms bigint,
    media_download_end_ms bigint,
    ffmpeg_start_ms bigint,
    ffmpeg_end_ms bigint,
    metadata_start_ms bigint,
    metadata_end_ms bigint,
    temp_upload_start_ms bigint,
    temp_upload_end_ms bigint,
    preprocess_end_ms bigint,
    gpu_received_ms bigint,
    gpu_task_prerun_ms bigint,
    gpu_audio_load_start_ms bigint,
    gpu_audio_load_end_ms bigint,
    gpu_end_ms bigint,
    postprocess_received_ms bigint,
    postprocess_task_prerun_ms bigint,
    postprocess_end_ms bigint,
    completion_notified_ms bigint,
    search_index_start_ms bigint,
    search_index_end_ms bigint,
    search_index_chunks_start_ms bigint,
    search_index_chunks_end_ms bigint,
    speaker_upsert_start_ms bigint,
    speaker_upsert_end_ms bigint,
    waveform_start_ms bigint,
    waveform_end_ms bigint,
    clustering_start_ms bigint,
    clustering_end_ms bigint,
    summary_start_ms bigint,
    summary_end_ms bigint,
    user_perceived_duration_ms bigint,
    fully_indexed_duration_ms bigint,
    audio_duration_s double precision,
    file_size_bytes bigint,
    content_type character varying(128),
    whisper_model character varying(64),
    asr_provider character varying(64),
    asr_model character varying(128),
    gpu_device character varying(128),
    http_flow character varying(32),
    queue_depth_at_dispatch jsonb,
    concurrent_files_at_dispatch integer,
    cpu_worker_cold character varying(8),
    gpu_worker_cold character varying(8),
    cpu_transcribe_worker_cold character varying(8),
    retry_count integer,
    per_retry_timings jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    imohash_start_ms bigint,
    imohash_end_ms bigint,
    prepare_upload_end_ms bigint,
    url_download_start_ms bigint,
    url_download_end_ms bigint,
    pipeline_error_end_ms bigint
);

CREATE TABLE public.file_tag (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer NOT NULL,
    tag_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    source character varying(50),
    ai_confidence double precision
);

CREATE TABLE public.media_file (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    filename character varying(255) NOT NULL,
    storage_path character varying(500) NOT NULL,
    file_size bigint NOT NULL,
    duration double precision,
    upload_time timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    completed_at timestamp with time zone,
    content_type character varying(100) NOT NULL,
    status character varying(50) DEFAULT 'pending'::character varying,
    is_public boolean DEFAULT false,
    language character varying(10),
    summary_data jsonb,
    summary_opensearch_id character varying(255),
    summary_status character varying(50) DEFAULT 'pending'::character varying,
    summary_schema_version integer DEFAULT 1,
    translated_text text,
    file_hash character varying(255),
    thumbnail_path character varying(500),
    metadata_raw jsonb,
    metadata_important jsonb,
    waveform_data jsonb,
    media_format character varying(50),
    codec character varying(50),
    frame_rate double precision,
    frame_count integer,
    resolution_width integer,
    resolution_height integer,
    aspect_ratio character varying(20),
    audio_channels integer,
    audio_sample_rate integer,
    audio_bit_depth integer,
    creation_date timestamp with time zone,
    last_modified_date timestamp with time zone,
    device_make character varying(100),
    device_model character varying(100),
    title character varying(255),
    author character varying(255),
    description text,
    source_url character varying(2048),
    active_task_id character varying(255),
    task_started_at timestamp with time zone,
    task_last_update timestamp with time zone,
    cancellation_requested boolean DEFAULT false,
    retry_count integer DEFAULT 0,
    max_retries integer DEFAULT 3,
    last_error_message text,
    force_delete_eligible boolean DEFAULT false,
    recovery_attempts integer DEFAULT 0,
    last_recovery_attempt timestamp with time zone,
    user_id integer NOT NULL,
    error_category character varying(50),
    whisper_model character varying,
    diarization_model character varying,
    embedding_mode character varying,
    upload_batch_id integer,
    asr_provider character varying,
    asr_model character varying,
    diarization_provider character varying,
    diarization_disabled boolean DEFAULT false NOT NULL,
    requested_whisper_model character varying,
    imohash character varying(64)
);

CREATE TABLE public.password_history (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    password_hash character varying(255) NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);

CREATE TABLE public.password_reset_token (
    id integer NOT NULL,
    user_id integer NOT NULL,
    token_hash character varying(64) NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ip_address character varying(45)
);

CREATE TABLE public.refresh_token (
    id integer NOT NULL,
    user_id integer NOT NULL,
    token_hash character varying(128) NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    jti character varying(36) NOT NULL,
    user_agent character varying(512),
    ip_address character varying(45)
);

CREATE TABLE public.speaker (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    media_file_id integer NOT NULL,
    profile_id integer,
    name character varying(255) NOT NULL,
    display_name character varying(255),
    suggested_name character varying(255),
    verified boolean DEFAULT false NOT NULL,
    confidence double precision,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    computed_status character varying(50),
    status_text character varying(500),
    status_color character varying(50),
    resolved_display_name character varying(255),
    suggestion_source character varying(50),
    predicted_gender character varying(20),
    predicted_age_range character varying(30),
    attribute_confidence jsonb,
    attributes_predicted_at timestamp with time zone,
    cluster_id integer,
    gender_confirmed_by_user boolean DEFAULT false
);

CREATE TABLE public.speaker_audio_clip (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    speaker_id integer NOT NULL,
    media_file_id integer NOT NULL,
    storage_path character varying(512) NOT NULL,
    start_time double precision NOT NULL,
    end_time double precision NOT NULL,
    duration double precision NOT NULL,
    is_representative boolean DEFAULT false,
    quality_score double precision DEFAULT 0.0,
    created_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.speaker_cannot_link (
    id integer NOT NULL,
    speaker_id integer NOT NULL,
    cannot_link_speaker_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    reason character varying(255)
);

CREATE TABLE public.speaker_cluster (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    label character varying(255),
    description text,
    member_count integer DEFAULT 0,
    promoted_to_profile_id integer,
    representative_speaker_id integer,
    quality_score double precision,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    min_similarity double precision,
    separation_score double precision,
    suggested_name character varying(255)
);

CREATE TABLE public.speaker_cluster_member (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    cluster_id integer NOT NULL,
    speaker_id integer NOT NULL,
    confidence double precision DEFAULT 0.0,
    created_at timestamp with time zone DEFAULT now(),
    margin double precision
);

CREATE TABLE public.speaker_collection (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    user_id integer NOT NULL,
    is_public boolean DEFAULT false,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.speaker_collection_member (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    collection_id integer NOT NULL,
    speaker_profile_id integer NOT NULL,
    added_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.speaker_match (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    speaker1_id integer NOT NULL,
    speaker2_id integer NOT NULL,
    confidence double precision NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT speaker_match_check CHECK ((speaker1_id < speaker2_id))
);

CREATE TABLE public.speaker_profile (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    embedding_count integer DEFAULT 0,
    last_embedding_update timestamp with time zone,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    predicted_gender character varying(20),
    predicted_age_range character varying(30),
    source_cluster_id integer,
    avatar_path character varying(512)
);

CREATE TABLE public.speaker_profile_blacklist (
    id integer NOT NULL,
    speaker_id integer NOT NULL,
    profile_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    reason character varying(255)
);

CREATE TABLE public.summary_prompt (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    prompt_text text NOT NULL,
    is_system_default boolean DEFAULT false NOT NULL,
    user_id integer,
    is_active boolean DEFAULT true NOT NULL,
    content_type character varying(50),
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    is_shared boolean DEFAULT false NOT NULL,
    shared_at timestamp with time zone,
    tags jsonb DEFAULT '[]'::jsonb NOT NULL,
    usage_count integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.system_settings (
    id integer NOT NULL,
    key character varying(100) NOT NULL,
    value text,
    description text,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.tag (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(50) NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    source character varying(50),
    normalized_name character varying
);

CREATE TABLE public.task (
    id character varying(255) NOT NULL,
    user_id integer NOT NULL,
    media_file_id integer,
    task_type character varying(50) NOT NULL,
    status character varying(50) NOT NULL,
    progress double precision DEFAULT '0'::double precision,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    completed_at timestamp with time zone,
    error_message text
);

CREATE TABLE public.topic_suggestion (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer NOT NULL,
    user_id integer NOT NULL,
    suggested_tags jsonb DEFAULT '[]'::jsonb,
    suggested_collections jsonb DEFAULT '[]'::jsonb,
    status character varying(50) DEFAULT 'pending'::character varying,
    user_decisions jsonb,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    auto_applied_tags jsonb DEFAULT '[]'::jsonb,
    auto_applied_collections jsonb DEFAULT '[]'::jsonb,
    auto_apply_completed_at timestamp with time zone
);

CREATE TABLE public.transcript_segment (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer NOT NULL,
    speaker_id integer,
    start_time double precision NOT NULL,
    end_time double precision NOT NULL,
    text text NOT NULL,
    is_overlap boolean DEFAULT false NOT NULL,
    overlap_group_id uuid,
    overlap_confidence double precision,
    words jsonb,
    confidence double precision
);

CREATE TABLE public.upload_batch (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    source character varying(50) NOT NULL,
    file_count integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    grouping_status character varying(50) DEFAULT 'pending'::character varying
);

CREATE TABLE public.upload_session (
    id integer NOT NULL,
    upload_id uuid DEFAULT gen_random_uuid() NOT NULL,
    media_file_id integer NOT NULL,
    user_id integer NOT NULL,
    minio_upload_id character varying(1024),
    storage_path character varying(1024) NOT NULL,
    "offset" bigint DEFAULT 0 NOT NULL,
    total_size bigint NOT NULL,
    content_type character varying(256) DEFAULT 'application/octet-stream'::character varying NOT NULL,
    filename character varying(512) NOT NULL,
    tus_metadata text,
    parts_json text DEFAULT '[]'::text NOT NULL,
    chunk_buffer bytea,
    min_speakers integer,
    max_speakers integer,
    num_speakers integer,
    extracted_from_video_json text,
    status character varying(32) DEFAULT 'active'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    completed_at timestamp with time zone
);

CREATE TABLE public."user" (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    email character varying(255) NOT NULL,
    hashed_password character varying(255) NOT NULL,
    full_name character varying(255),
    is_active boolean DEFAULT true NOT NULL,
    is_superuser boolean DEFAULT false NOT NULL,
    role character varying(50) DEFAULT 'user'::character varying NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    auth_type character varying(20) DEFAULT 'local'::character varying NOT NULL,
    ldap_uid character varying(255),
    keycloak_id character varying(255),
    pki_subject_dn character varying(512),
    password_hash_version character varying(20) DEFAULT 'bcrypt'::character varying NOT NULL,
    password_changed_at timestamp with time zone,
    must_change_password boolean DEFAULT false NOT NULL,
    last_login_at timestamp with time zone,
    account_expires_at timestamp with time zone,
    banner_acknowledged_at timestamp with time zone,
    pki_serial_number character varying(128),
    pki_issuer_dn character varying(512),
    pki_organization character varying(256),
    pki_organizational_unit character varying(256),
    pki_common_name character varying(256),
    pki_not_before timestamp with time zone,
    pki_not_after timestamp with time zone,
    pki_fingerprint_sha256 character varying(64),
    allow_local_fallback boolean DEFAULT false NOT NULL,
    keycloak_refresh_token text,
    CONSTRAINT users_auth_type_check CHECK (((auth_type)::text = ANY ((ARRAY['local'::character varying, 'ldap'::character varying, 'keycloak'::character varying, 'pki'::character varying])::text[]))),
    CONSTRAINT users_role_check CHECK (((role)::text = ANY ((ARRAY['user'::character varying, 'admin'::character varying, 'super_admin'::character varying])::text[])))
);

CREATE TABLE public.user_asr_settings (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    name character varying(100) NOT NULL,
    provider character varying(50) NOT NULL,
    model_name character varying(100) NOT NULL,
    api_key text,
    base_url character varying(500),
    region character varying(50),
    is_active boolean DEFAULT true NOT NULL,
    last_tested timestamp with time zone,
    test_status character varying(20),
    test_message text,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    is_shared boolean DEFAULT false NOT NULL,
    shared_at timestamp with time zone
);

CREATE TABLE public.user_certificate_preferences (
    id integer NOT NULL,
    user_id integer NOT NULL,
    show_cert_badge boolean DEFAULT true,
    show_cert_in_profile boolean DEFAULT true,
    show_expiration_warnings boolean DEFAULT true,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE public.user_diarization_settings (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    name character varying(100) NOT NULL,
    provider character varying(50) NOT NULL,
    model_name character varying(100) NOT NULL,
    api_key text,
    base_url character varying(500),
    is_active boolean DEFAULT true NOT NULL,
    last_tested timestamp with time zone,
    test_status character varying(20),
    test_message text,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.user_group (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    owner_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.user_group_member (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    group_id integer NOT NULL,
    user_id integer NOT NULL,
    role character varying(20) DEFAULT 'member'::character varying NOT NULL,
    joined_at timestamp with time zone DEFAULT now(),
    CONSTRAINT _user_group_member_role_check CHECK (((role)::text = ANY ((ARRAY['owner'::character varying, 'admin'::character varying, 'member'::character varying])::text[])))
);

CREATE TABLE public.user_llm_settings (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    name character varying(100) NOT NULL,
    provider character varying(50) NOT NULL,
    model_name character varying(100) NOT NULL,
    api_key text,
    base_url character varying(500),
    max_tokens integer DEFAULT 8192 NOT NULL,
    temperature character varying(10) DEFAULT '0.3'::character varying NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    last_tested timestamp with time zone,
    test_status character varying(20),
    test_message text,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    is_shared boolean DEFAULT false NOT NULL,
    shared_at timestamp with time zone
);

CREATE TABLE public.user_media_source (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    hostname character varying(255) NOT NULL,
    provider_type character varying(50) DEFAULT 'mediacms'::character varying NOT NULL,
    username text,
    password text,
    verify_ssl boolean DEFAULT true NOT NULL,
    label character varying(200),
    is_active boolean DEFAULT true NOT NULL,
    is_shared boolean DEFAULT false NOT NULL,
    shared_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.user_mfa (
    id integer NOT NULL,
    user_id integer NOT NULL,
    totp_secret character varying(255) NOT NULL,
    totp_enabled boolean DEFAULT false NOT NULL,
    backup_codes jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    last_verified_at timestamp with time zone
);

CREATE TABLE public.user_setting (
    id integer NOT NULL,
    uuid uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id integer NOT NULL,
    setting_key character varying(100) NOT NULL,
    setting_value text,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

COPY public.alembic_version (version_num) FROM stdin;
v362_add_pipeline_timing_markers
\.

COPY public.analytics (id, uuid, media_file_id, overall_analytics, computed_at, version) FROM stdin;
1	d9fb4ff5-3b78-4a18-af4e-58225099d8f4	1	{"talk_time": {"total": 300, "by_speaker": {"SPEAKER_00": 120.0}}, "word_count": 900}	2026-11-28 06:09:26.905927+00	1.0
\.

COPY public.auth_config (id, uuid, config_key, config_value, is_sensitive, category, data_type, description, requires_restart, created_at, updated_at, created_by, updated_by) FROM stdin;
1	1e331eed-15ff-455b-8c84-8ca9ba9dacdc	ldap_enabled	false	f	ldap	string	\N	f	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	\N	\N
\.

COPY public.auth_config_audit (id, uuid, config_key, old_value, new_value, changed_by, change_type, ip_address, user_agent, created_at) FROM stdin;
\.

COPY public.collection (id, uuid, name, description, user_id, is_public, created_at, updated_at, default_summary_prompt_id, source) FROM stdin;
1	40bdcb74-64cb-4c6c-b14f-c8f2c0e836c4	Q1	\N	2	f	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	2	\N
\.

COPY public.collection_member (id, uuid, collection_id, media_file_id, added_at, source, ai_confidence) FROM stdin;
1	f052e38f-658a-4d34-9975-c9765e129a37	1	1	2026-11-28 06:09:26.905927+00	\N	\N
2	f76060ee-6b10-4fc5-8e7f-dffb59ac3e68	1	8	2026-11-28 06:09:26.905927+00	auto_ai	\N
\.

COPY public.collection_share (id, uuid, collection_id, shared_by_id, target_type, target_user_id, target_group_id, permission, created_at, updated_at) FROM stdin;
1	6a4f33fa-291e-4ca0-b793-4ad9bf563222	1	2	group	\N	1	viewer	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.comment (id, uuid, media_file_id, user_id, text, "timestamp", created_at) FROM stdin;
1	a55e7a97-2e05-410a-bf93-d8213dfbf921	1	2	check 👀 this	65.5	2026-01-02 09:00:00.654321+00
2	b33aa10a-9db0-4ded-b442-973b3ffdc6eb	1	1	general	\N	\N
\.

COPY public.custom_vocabulary (id, user_id, term, domain, category, is_active, created_at, updated_at) FROM stdin;
1	2	Kubernetes	general	\N	t	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
2	\N	OpenTranscribe	general	\N	t	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.file_pipeline_timing (task_id, file_id, user_id, client_hash_start_ms, client_hash_end_ms, client_put_start_ms, client_put_end_ms, http_request_received_ms, http_read_complete_ms, http_validation_end_ms, minio_put_start_ms, minio_put_end_ms, thumbnail_start_ms, thumbnail_end_ms, db_commit_start_ms, db_commit_end_ms, http_response_end_ms, dispatch_timestamp_ms, preprocess_task_prerun_ms, media_download_start_ms, media_download_end_ms, ffmpeg_start_ms, ffmpeg_end_ms, metadata_start_ms, metadata_end_ms, temp_upload_start_ms, temp_upload_end_ms, preprocess_end_ms, gpu_received_ms, gpu_task_prerun_ms, gpu_audio_load_start_ms, gpu_audio_load_end_ms, gpu_end_ms, postprocess_received_ms, postprocess_task_prerun_ms, postprocess_end_ms, completion_notified_ms, search_index_start_ms, search_index_end_ms, search_index_chunks_start_ms, search_index_chunks_end_ms, speaker_upsert_start_ms, speaker_upsert_end_ms, waveform_start_ms, waveform_end_ms, clustering_start_ms, clustering_end_ms, summary_start_ms, summary_end_ms, user_perceived_duration_ms, fully_indexed_duration_ms, audio_duration_s, file_size_bytes, content_type, whisper_model, asr_provider, asr_model, gpu_device, http_flow, queue_depth_at_dispatch, concurrent_files_at_dispatch, cpu_worker_cold, gpu_worker_cold, cpu_transcribe_worker_cold, retry_count, per_retry_timings, created_at, imohash_start_ms, imohash_end_ms, prepare_upload_end_ms, url_download_start_ms, url_download_end_ms, pipeline_error_end_ms) FROM stdin;
celery-0	1	2	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	1	9	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N
\.

COPY public.file_tag (id, uuid, media_file_id, tag_id, created_at, source, ai_confidence) FROM stdin;
1	ff09f015-0948-414b-96ba-a014cc7ab32f	1	1	2026-11-28 06:09:26.905927+00	\N	\N
2	876cfe7c-82e6-4e71-904a-896fc4758a8d	1	2	2026-11-28 06:09:26.905927+00	manual	\N
3	8df13f02-1b53-4e13-bd01-9261b7149706	1	3	2026-11-28 06:09:26.905927+00	auto_ai	0.8
4	8da65a44-ef3f-4a40-9993-edb1bfbc2a58	8	1	2026-11-28 06:09:26.905927+00	manual	\N
5	de927b4e-5301-47a8-8cd4-88cc0fa6d693	2	4	2026-11-28 06:09:26.905927+00	manual	\N
6	13cc6858-d3fb-4249-ae30-26209060d1cf	2	5	2026-11-28 06:09:26.905927+00	auto_ai	0.8
\.

COPY public.media_file (id, uuid, filename, storage_path, file_size, duration, upload_time, completed_at, content_type, status, is_public, language, summary_data, summary_opensearch_id, summary_status, summary_schema_version, translated_text, file_hash, thumbnail_path, metadata_raw, metadata_important, waveform_data, media_format, codec, frame_rate, frame_count, resolution_width, resolution_height, aspect_ratio, audio_channels, audio_sample_rate, audio_bit_depth, creation_date, last_modified_date, device_make, device_model, title, author, description, source_url, active_task_id, task_started_at, task_last_update, cancellation_requested, retry_count, max_retries, last_error_message, force_delete_eligible, recovery_attempts, last_recovery_attempt, user_id, error_category, whisper_model, diarization_model, embedding_mode, upload_batch_id, asr_provider, asr_model, diarization_provider, diarization_disabled, requested_whisper_model, imohash) FROM stdin;
1	781f9c58-d664-4fa9-a8a8-529f035efa25	standup.mp4	user_2/file_x/standup.mp4	5000000000	3725.5	2026-01-01 09:00:00.654321+00	2026-01-01 10:00:00.654321+00	video/mp4	completed	f	en	{"bluf": "We ship Friday", "action_items": [{"text": "mail", "due_date": null, "priority": "high", "assigned_to": "Ann"}], "major_topics": [{"topic": "budget", "key_points": ["a", "b"]}], "brief_summary": "…"}	os-1	completed	1	\N	abababababababababababababababababababababababababababababababab	t/1.webp	{"General": {"Format": "MPEG-4"}}	{"Title": "Stand-up"}	{"waveform": [0.1, 0.5], "sample_rate": 1000}	MPEG-4	h264	29.97002997	111653	1920	1080	16:9	2	48000	16	2025-12-31 23:00:00+00	\N	Apple	\N	Stand-up	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	large-v3	\N	\N	\N	local	\N	\N	f	\N	00ff
2	31162427-3bfd-4d33-8d00-38ec42650644	PLACEHOLDER	youtube/abc.mp4	1000	12	2026-01-02 09:00:00.654321+00	2026-01-02 10:00:00.654321+00	video/mp4	completed	f	\N	{"summary": "old flat form"}	\N	completed	1	\N	0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd	\N	{"source": "youtube", "playlist": "p1", "video_id": "abc"}	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	動画 🎬	花子	dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd	https://www.youtube.com/watch?v=abc	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
3	8a7d43b5-7863-4074-b797-0386fee29476	broken.mp3	user_2/file_x/broken.mp3	1000	\N	2026-01-03 09:00:00.654321+00	\N	audio/mpeg	error	f	\N	\N	\N	failed	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	5	3	CUDA OOM	t	2	2026-01-03 12:00:00.654321+00	2	gpu_oom	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
4	65aa9c82-79f2-48b0-8cb4-a0d7d6225675	stuck.wav		0	\N	2026-01-04 09:00:00.654321+00	\N	video/mp4	processing	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	celery-1	2026-01-04 09:00:00.654321+00	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
7	03e0a813-bdc2-4e99-a3d2-e49085ef3430	pend.m4a	user_2/file_x/pend.m4a	1000	\N	\N	\N	video/mp4	pending	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
8	28ce6f24-1064-4d51-86f8-da3eabe19f58	cancel.mp4	user_1/file_x/cancel.mp4	1000	\N	2026-01-06 09:00:00.654321+00	\N	video/mp4	cancelling	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	t	0	3	\N	f	0	\N	1	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
9	0af438d2-9752-4d6a-b51e-8722c21b6092	gone.mp4	user_1/file_x/gone.mp4	1000	\N	2026-01-06 09:00:00.654321+00	\N	video/mp4	orphaned	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	1	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
10	d2d58443-07f0-42ce-87b3-17d94d1fe09f	c.mp4	user_1/file_x/c.mp4	1000	\N	2026-01-06 09:00:00.654321+00	2026-01-06 12:00:00.654321+00	video/mp4	cancelled	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	1	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
11	98418117-7906-4596-84f9-794cdd933160	silent.mp4	user_3/file_x/silent.mp4	1000	0	2026-01-07 09:00:00.654321+00	\N	video/mp4	completed	f	\N	\N	\N	not_configured	1	\N	\N	\N	\N	\N	\N	\N	\N	0	\N	0	0	\N	0	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	3	\N	\N	\N	\N	\N	\N	\N	\N	t	\N	\N
12	633a50ee-e0f9-4038-ab8f-624fb804d820	COMPLETED-old.mp4	user_2/file_x/COMPLETED-old.mp4	1000	\N	2026-01-08 09:00:00.654321+00	\N	video/mp4	COMPLETED	t	\N	"a bare JSON string"	\N	disabled	1	x	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	\N	\N	\N	\N	f	\N	\N
5	3b5f3d86-268e-4c45-9c6b-f1e1a399f82a	queued.wav	user_2/file_x/queued.wav	1000	\N	2026-01-05 09:00:00.654321+00	\N	video/mp4	queued	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	1	\N	\N	\N	f	\N	\N
6	ed038db4-de38-4784-a6d0-b944a2863a7f	dl.webm	user_2/file_x/dl.webm	1000	\N	2026-01-05 09:00:00.654321+00	\N	video/mp4	downloading	f	\N	\N	\N	pending	1	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	0	3	\N	f	0	\N	2	\N	\N	\N	\N	1	\N	\N	\N	f	\N	\N
\.

COPY public.password_history (id, uuid, user_id, password_hash, created_at) FROM stdin;
1	17490780-6c5d-4484-aeea-9771503c14af	2	$2b$old	2026-11-28 06:09:26.905927+00
\.

COPY public.password_reset_token (id, user_id, token_hash, expires_at, used_at, created_at, ip_address) FROM stdin;
\.

COPY public.refresh_token (id, user_id, token_hash, expires_at, revoked_at, created_at, jti, user_agent, ip_address) FROM stdin;
1	2	h	2026-01-09 09:00:00.654321+00	\N	2026-11-28 06:09:26.905927+00	j	\N	\N
\.

COPY public.speaker (id, uuid, user_id, media_file_id, profile_id, name, display_name, suggested_name, verified, confidence, created_at, computed_status, status_text, status_color, resolved_display_name, suggestion_source, predicted_gender, predicted_age_range, attribute_confidence, attributes_predicted_at, cluster_id, gender_confirmed_by_user) FROM stdin;
1	092fdddf-18f2-441c-9d92-b243e0fd67dd	2	1	1	SPEAKER_00	Ann	\N	t	1	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f
2	420b0ebe-378c-44dc-beb0-adf422cedafb	2	1	2	SPEAKER_01	\N	Bob	f	0.81	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	voice_match	\N	\N	\N	\N	\N	f
3	c76abf43-6fa8-4dca-ac0a-e4e2f729b4c8	2	1	\N	SPEAKER_02	\N	\N	t	\N	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f
4	6bd0638b-4d10-4d8f-9af0-105ba06c05a1	2	2	\N	SPEAKER_00		\N	f	1.2	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	male	\N	{"gender": 0.9}	\N	\N	f
5	92f3277b-62c8-4185-955e-c1a581daad10	2	1	\N	SPEAKER_10	\N	\N	f	\N	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f
6	6856e45b-95c7-4ab4-88ba-fad959d54505	1	1	\N	SPEAKER_00	admin's view of Ann's file	\N	f	\N	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f
7	56363b4b-e779-4470-bb7d-ae0495918694	2	2	\N	花子	\N	\N	f	\N	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f
\.

COPY public.speaker_audio_clip (id, uuid, speaker_id, media_file_id, storage_path, start_time, end_time, duration, is_representative, quality_score, created_at) FROM stdin;
1	e9eb979b-d57c-4140-83a1-069617b76878	1	1	c/1.wav	0	3	3	f	0	2026-11-28 06:09:26.905927+00
\.

COPY public.speaker_cannot_link (id, speaker_id, cannot_link_speaker_id, created_at, reason) FROM stdin;
1	1	2	2026-11-28 06:09:26.905927+00	\N
\.

COPY public.speaker_cluster (id, uuid, user_id, label, description, member_count, promoted_to_profile_id, representative_speaker_id, quality_score, created_at, updated_at, min_similarity, separation_score, suggested_name) FROM stdin;
1	299f1078-263a-421c-a336-d0f4e5bc175c	2	c1	\N	2	\N	\N	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	\N	\N	\N
\.

COPY public.speaker_cluster_member (id, uuid, cluster_id, speaker_id, confidence, created_at, margin) FROM stdin;
1	7bc6bc8e-bf87-42c4-bf7a-32c3188a543c	1	1	0	2026-11-28 06:09:26.905927+00	\N
\.

COPY public.speaker_collection (id, uuid, name, description, user_id, is_public, created_at, updated_at) FROM stdin;
1	946f69eb-c190-41df-9182-fbfab0dac43a	Team voices	\N	2	f	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.speaker_collection_member (id, uuid, collection_id, speaker_profile_id, added_at) FROM stdin;
1	af80d1cb-8460-456f-ac86-d01cac81d075	1	1	2026-11-28 06:09:26.905927+00
\.

COPY public.speaker_match (id, uuid, speaker1_id, speaker2_id, confidence, created_at, updated_at) FROM stdin;
1	66ab56fa-a498-4173-a7fb-0f587bd521e9	1	4	0.77	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.speaker_profile (id, uuid, user_id, name, description, embedding_count, last_embedding_update, created_at, updated_at, predicted_gender, predicted_age_range, source_cluster_id, avatar_path) FROM stdin;
1	93b05a04-cd08-4b71-ba66-76b3651c5253	2	Ann	me	3	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	female	\N	\N	\N
2	2257989f-ef82-4c88-b6ce-d90a71d2af72	2	Bob	\N	0	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	\N	\N	\N	\N
\.

COPY public.speaker_profile_blacklist (id, speaker_id, profile_id, created_at, reason) FROM stdin;
\.

COPY public.summary_prompt (id, uuid, name, description, prompt_text, is_system_default, user_id, is_active, content_type, created_at, updated_at, is_shared, shared_at, tags, usage_count) FROM stdin;
1	daf48e79-b490-48fa-abdf-e39e4bbdb813	Meeting (default)	\N	{transcript}	t	\N	t	meeting	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N	[]	0
2	95a6a34e-da88-4dc2-9860-aae569c78514	mine	\N	Kurz: {transcript}	f	2	t	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	t	\N	["short"]	7
3	e3b05135-4465-4bc9-bbd7-4f4295ab82e9	Who is who	\N	x	t	\N	t	speaker_identification	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N	[]	0
4	44a1c8d7-05eb-411a-8ea6-732437b4f408	inactive	\N	x	f	2	f	lecture	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N	[]	0
\.

COPY public.system_settings (id, key, value, description, updated_at) FROM stdin;
1	transcription.max_retries	3	\N	2026-11-28 05:50:16.512669+00
2	transcription.retry_limit_enabled	true	\N	2026-11-28 05:50:16.512669+00
3	transcription.garbage_cleanup_enabled	true	\N	2026-11-28 05:50:16.512669+00
4	transcription.max_word_length	50	\N	2026-11-28 05:50:16.512669+00
5	search.embedding_model	all-MiniLM-L6-v2	\N	2026-11-28 05:50:16.512669+00
6	search.embedding_dimension	384	\N	2026-11-28 05:50:16.512669+00
7	files.retention_enabled	false	\N	2026-11-28 05:50:16.512669+00
8	files.retention_days	90	\N	2026-11-28 05:50:16.512669+00
9	files.delete_error_files	false	\N	2026-11-28 05:50:16.512669+00
10	files.retention_run_time	02:00	\N	2026-11-28 05:50:16.512669+00
11	files.retention_timezone	UTC	\N	2026-11-28 05:50:16.512669+00
12	files.retention_last_run	\N	\N	2026-11-28 05:50:16.512669+00
13	files.retention_last_run_deleted	0	\N	2026-11-28 05:50:16.512669+00
14	ai.summary_enabled	true	\N	2026-11-28 05:50:16.512669+00
\.

COPY public.tag (id, uuid, name, created_at, source, normalized_name) FROM stdin;
1	a8c1c974-196b-42b4-9077-624017802181	Important	2026-01-01 09:00:00.654321+00	\N	important
2	d1c73e66-2ddd-42b6-a031-daeae1665865	important 	2026-01-01 09:00:00.654321+00	manual	important
3	da305f2c-d76e-4016-976b-7da1060344bf	Straße	2026-01-01 09:00:00.654321+00	auto_ai	strasse
4	1d76f9d1-d80c-4a4d-8685-08d51f0c6f07	STRASSE	\N	manual	\N
5	b243f13d-d610-4535-bb5f-2ea9ac6cc64e	予算	2026-01-02 09:00:00.654321+00	ai_accepted	予算
6	4ca44e40-943e-4a22-88d4-a701f3d13a7b	unused	2026-01-02 09:00:00.654321+00	\N	unused
\.

COPY public.task (id, user_id, media_file_id, task_type, status, progress, created_at, updated_at, completed_at, error_message) FROM stdin;
f3608d48-846a-400d-b2da-00aeeaa73d79	2	1	transcription	completed	1	2026-01-01 09:00:00.654321+00	\N	2026-01-01 11:00:00.654321+00	\N
dbacc8f7-b80a-4700-9622-c7ea716bf4a3	2	3	transcription	failed	0.4	2026-01-02 09:00:00.654321+00	\N	\N	OOM
c08680b8-4471-483f-a2e3-8f402fa4f90e	2	4	transcription	in_progress	0.4	2026-01-03 09:00:00.654321+00	\N	\N	\N
task_retry_3	2	\N	summarization	pending	0.4	2026-01-04 09:00:00.654321+00	\N	\N	\N
task_retry_4	2	1	summarization	completed	1	2026-01-05 09:00:00.654321+00	\N	2026-01-05 11:00:00.654321+00	\N
83ff8f4a-95eb-4428-a584-a43f32fd7325	2	5	transcription	PENDING	0.4	2026-01-06 09:00:00.654321+00	\N	\N	\N
\.

COPY public.topic_suggestion (id, uuid, media_file_id, user_id, suggested_tags, suggested_collections, status, user_decisions, created_at, updated_at, auto_applied_tags, auto_applied_collections, auto_apply_completed_at) FROM stdin;
1	c78f9ef0-f413-4268-89bc-a033b0ee0daa	1	2	[{"name": "budget", "rationale": "…", "confidence": 0.9}]	[]	pending	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	[]	[]	\N
\.

COPY public.transcript_segment (id, uuid, media_file_id, speaker_id, start_time, end_time, text, is_overlap, overlap_group_id, overlap_confidence, words, confidence) FROM stdin;
1	07564931-edcf-4109-aa6d-5547ae966193	1	\N	0	3.9	第0回：予算について	f	\N	\N	[{"end": 0.2, "word": "we", "score": 0.9, "start": 0.0}]	0.93
2	9b16f809-fdb1-4f54-8799-7b6bdb3d1150	1	2	4	7.9	Segment 1: we talked about the budget and the ship date	f	\N	\N	\N	\N
3	b2d87d5e-29c0-4596-b210-9307abd8952c	1	3	8	11.9	Segment 2: we talked about the budget and the ship date	f	\N	\N	\N	0.93
4	8ab12c32-f6f2-4f41-938e-504edc52bdca	1	1	12	15.9	Segment 3: we talked about the budget and the ship date	f	\N	\N	[{"end": 12.2, "word": "we", "score": 0.9, "start": 12.0}]	\N
5	1aa4b640-91b1-478e-926b-aeafe79a27e6	1	2	16	19.9	Segment 4: we talked about the budget and the ship date	f	\N	\N	\N	0.93
6	a20ab57c-360c-4979-a7cf-94d7b6bcb64f	1	3	20	23.9	第5回：予算について	f	\N	\N	\N	\N
121	b0c83cf5-76d2-46e4-9f17-692a431e35e8	2	4	5	2	ends before it starts	f	\N	\N	\N	\N
122	bb45628c-d02f-4c38-b066-5d751f867fd0	2	\N	-0.02	1	starts before zero	f	\N	\N	\N	\N
123	87b9d933-e328-4187-998b-f404a98bcfb9	2	4	1	1		f	\N	\N	\N	\N
124	1bcf238a-aae5-40d5-a05d-afd9cadf4619	2	4	1	2	dup	f	\N	\N	\N	\N
125	882f45f9-9058-43c6-9182-01e1bbd61184	2	1	1	2	speaker of another file	f	\N	\N	\N	\N
126	3c688c4b-24bd-4e93-b93a-6af9014135d9	2	4	3	4	overlap 1	t	b771eb29-9677-4bc0-8fc6-61781a66f0bf	0.7	\N	\N
127	86f6ff96-0b58-4672-a380-1bf2c638c9ca	2	4	3	4	overlap 2	t	b771eb29-9677-4bc0-8fc6-61781a66f0bf	0.7	\N	\N
\.

COPY public.upload_batch (id, uuid, user_id, source, file_count, created_at, grouping_status) FROM stdin;
1	6d4b9adb-ebcd-4f5e-89c1-8070b6d13089	2	bulk	2	2026-11-28 06:09:26.905927+00	pending
\.

COPY public.upload_session (id, upload_id, media_file_id, user_id, minio_upload_id, storage_path, "offset", total_size, content_type, filename, tus_metadata, parts_json, chunk_buffer, min_speakers, max_speakers, num_speakers, extracted_from_video_json, status, created_at, expires_at, completed_at) FROM stdin;
1	efb3ee9f-0b93-45ba-8c63-6e5308dfe934	7	2	\N	t	0	10	application/octet-stream	pend.m4a	\N	[]	\\x00ff01	\N	\N	\N	\N	active	2026-11-28 06:09:26.905927+00	2026-01-09 09:00:00.654321+00	\N
\.

COPY public."user" (id, uuid, email, hashed_password, full_name, is_active, is_superuser, role, created_at, updated_at, auth_type, ldap_uid, keycloak_id, pki_subject_dn, password_hash_version, password_changed_at, must_change_password, last_login_at, account_expires_at, banner_acknowledged_at, pki_serial_number, pki_issuer_dn, pki_organization, pki_organizational_unit, pki_common_name, pki_not_before, pki_not_after, pki_fingerprint_sha256, allow_local_fallback, keycloak_refresh_token) FROM stdin;
1	21636369-8b52-4b4a-97b7-50923ceb3ffd	admin@example.com	$2b$12$adm	Admin	t	t	super_admin	2025-09-20 10:00:00+00	2026-11-28 06:09:26.905927+00	local	\N	\N	\N	bcrypt	\N	f	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	\N
2	795b929e-9a9a-40fd-aa7b-5bf55eb561a4	Ann@Example.com	$2b$12$ann	Ann Ünïcode 花	t	f	user	2025-09-21 10:00:00.123456+00	2026-11-28 06:09:26.905927+00	local	\N	\N	\N	bcrypt	\N	f	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	\N
3	9b08923d-10c6-4fd9-94b2-b8fda02f34a6	sso@example.com		\N	f	f	user	\N	2026-11-28 06:09:26.905927+00	ldap	uid1	\N	\N	bcrypt	\N	f	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	f	\N
\.

COPY public.user_asr_settings (id, uuid, user_id, name, provider, model_name, api_key, base_url, region, is_active, last_tested, test_status, test_message, created_at, updated_at, is_shared, shared_at) FROM stdin;
1	34ac7eb9-9958-4b2e-b394-c3b17ac666bf	2	Deepgram	deepgram	nova-3	v3:xxxx	\N	\N	t	\N	\N	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N
\.

COPY public.user_certificate_preferences (id, user_id, show_cert_badge, show_cert_in_profile, show_expiration_warnings, created_at, updated_at) FROM stdin;
\.

COPY public.user_diarization_settings (id, uuid, user_id, name, provider, model_name, api_key, base_url, is_active, last_tested, test_status, test_message, created_at, updated_at) FROM stdin;
1	e6d966bc-d5a9-4d4c-949c-c37677d2519b	2	py	pyannote	3.1	\N	\N	t	\N	\N	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.user_group (id, uuid, name, description, owner_id, created_at, updated_at) FROM stdin;
1	3c3a447d-8014-4a61-a015-45c415508f3c	Team	\N	2	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.user_group_member (id, uuid, group_id, user_id, role, joined_at) FROM stdin;
1	d7f65919-69af-4117-adf3-05c1f91a3a47	1	1	member	2026-11-28 06:09:26.905927+00
\.

COPY public.user_llm_settings (id, uuid, user_id, name, provider, model_name, api_key, base_url, max_tokens, temperature, is_active, last_tested, test_status, test_message, created_at, updated_at, is_shared, shared_at) FROM stdin;
1	335c1bac-61fb-492f-8dd9-49867abfd4d5	2	Main	claude	claude-3	v3:c3Nzc3Nzc3Nzc3Nzc3Nzcw==:bm5ubm5ubm5ubm5u:xKYoQwhPfDmzPXUZU3YX4JiTbPBg7fcYKgtcAtbXaP0=	\N	8192	0.3	t	2026-01-03 09:00:00.654321+00	success	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	t	\N
2	3d23a847-5c47-4906-91e4-3dd02c186d80	2	main	ollama	qwen3	\N	http://x:11434	8192		t	\N	pending	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N
3	dd222527-c632-44e3-bb8b-635852715ad0	1	legacy	openai	gpt-4o	Z0FBQUFBQm81M2dBYVdscGFXbHBhV2xwYVdscGFXbHBhU1dueF80TjRyWFdpUkFXd2FIMDQyOTZXOEdKMktDbG9GbWh3ZGZvQjdXdmNfUldWbFVmazN3My1wQzhFMmo3eEE9PQ==	\N	0	warm	t	\N	failed	401	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N
4	b292c157-fdc0-454a-ab1d-5f0224c3a235	1	untested	vllm	m	not decryptable	\N	8192	0.3	t	\N	\N	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	f	\N
\.

COPY public.user_media_source (id, uuid, user_id, hostname, provider_type, username, password, verify_ssl, label, is_active, is_shared, shared_at, created_at, updated_at) FROM stdin;
1	071bf2f0-8e9f-4f9d-a703-76bad2555e5e	2	cms.example	mediacms	v3:u	v3:p	t	\N	t	f	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

COPY public.user_mfa (id, user_id, totp_secret, totp_enabled, backup_codes, created_at, updated_at, uuid, last_verified_at) FROM stdin;
1	2	v3:secret	t	[]	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00	0b869300-dd77-4fce-ab72-143f41483337	\N
\.

COPY public.user_setting (id, uuid, user_id, setting_key, setting_value, created_at, updated_at) FROM stdin;
1	12872361-b880-42f1-be27-73247b366e94	2	active_llm_config_id	1	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
2	c87a3b51-6677-4722-b292-fba1db4d584b	2	active_summary_prompt_id	2	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
3	0bbc963d-f5d3-4680-a1c0-fcedbbcc73a3	2	recording_max_duration	120	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
4	e417d4f1-3ac7-4a03-a930-45ed77a7365a	2	recording_auto_stop	true	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
5	c6ff46a4-b7ba-4c95-a5f3-b3fa3c1a7547	2	transcription_min_speakers	1	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
6	37a5ae35-f56e-4393-91bb-4e07ace3ca83	2	empty		2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
7	e3e255b4-3df9-4a79-8111-71b4da97fa80	2	null	\N	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
8	2331df81-4235-4e6e-869a-e2d6308b24cb	2	json	{"a": [1, 2]}	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
9	acd62c6a-b469-47d0-9f35-5e742feb67af	2	active_llm_config_id_bad	999	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
10	ef0bfa78-e656-4bc1-8969-1290dbcceb43	1	active_llm_config_id	4242	2026-11-28 06:09:26.905927+00	2026-11-28 06:09:26.905927+00
\.

SELECT pg_catalog.setval('public.analytics_id_seq', 1, true);
SELECT pg_catalog.setval('public.auth_config_audit_id_seq', 1, false);
SELECT pg_catalog.setval('public.auth_config_id_seq', 1, true);
SELECT pg_catalog.setval('public.collection_id_seq', 1, true);
SELECT pg_catalog.setval('public.collection_member_id_seq', 2, true);
SELECT pg_catalog.setval('public.collection_share_id_seq', 1, true);
SELECT pg_catalog.setval('public.comment_id_seq', 2, true);
SELECT pg_catalog.setval('public.custom_vocabulary_id_seq', 2, true);
SELECT pg_catalog.setval('public.file_tag_id_seq', 6, true);
SELECT pg_catalog.setval('public.media_file_id_seq', 12, true);
SELECT pg_catalog.setval('public.password_history_id_seq', 1, true);
SELECT pg_catalog.setval('public.password_reset_token_id_seq', 1, false);
SELECT pg_catalog.setval('public.refresh_token_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_audio_clip_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_cannot_link_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_cluster_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_cluster_member_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_collection_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_collection_member_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_id_seq', 7, true);
SELECT pg_catalog.setval('public.speaker_match_id_seq', 1, true);
SELECT pg_catalog.setval('public.speaker_profile_blacklist_id_seq', 1, false);
SELECT pg_catalog.setval('public.speaker_profile_id_seq', 2, true);
SELECT pg_catalog.setval('public.summary_prompt_id_seq', 4, true);
SELECT pg_catalog.setval('public.system_settings_id_seq', 14, true);
SELECT pg_catalog.setval('public.tag_id_seq', 6, true);
SELECT pg_catalog.setval('public.topic_suggestion_id_seq', 1, true);
SELECT pg_catalog.setval('public.transcript_segment_id_seq', 127, true);
SELECT pg_catalog.setval('public.upload_batch_id_seq', 1, true);
SELECT pg_catalog.setval('public.upload_session_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_asr_settings_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_certificate_preferences_id_seq', 1, false);
SELECT pg_catalog.setval('public.user_diarization_settings_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_group_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_group_member_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_id_seq', 3, true);
SELECT pg_catalog.setval('public.user_llm_settings_id_seq', 4, true);
SELECT pg_catalog.setval('public.user_media_source_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_mfa_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_setting_id_seq', 10, true);
--
-- PostgreSQL database dump complete
--
